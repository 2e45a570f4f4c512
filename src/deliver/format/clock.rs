//! A moment as DICOM's dates and times (PS3.5 6.2: DA, TM, DT), in the zone of the source.

/// A moment in the zone in which an object states its times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moment {
    /// `YYYYMMDD`.
    pub(super) date: String,
    /// `HHMMSS.FFFFFF`.
    pub(super) time: String,
}

const MINUTE_US: i64 = 60_000_000;
const DAY_US: i64 = 24 * 60 * MINUTE_US;

impl Moment {
    /// Microseconds since 1970 (UTC), told in the zone `offset` (`+HHMM`, as Timezone Offset From UTC); UTC where that is none.
    pub(super) fn of(utc_us: i64, offset: Option<&str>) -> Moment {
        let local_us = utc_us + offset.and_then(minutes).unwrap_or(0) * MINUTE_US;
        let (year, month, day) = civil(local_us.div_euclid(DAY_US));
        let of_day = local_us.rem_euclid(DAY_US);
        let (minute, rest) = (of_day / MINUTE_US, of_day % MINUTE_US);
        Moment {
            date: format!("{year:04}{month:02}{day:02}"),
            time: format!("{:02}{:02}{:02}.{:06}", minute / 60, minute % 60, rest / 1_000_000, rest % 1_000_000),
        }
    }

    /// Both in one (DT).
    pub(super) fn date_time(&self) -> String {
        format!("{}{}", self.date, self.time)
    }
}

/// `+0130` as minutes.
fn minutes(offset: &str) -> Option<i64> {
    let (sign, digits) = (offset.get(..1)?, offset.get(1..)?);
    let number = |range: std::ops::Range<usize>| digits.get(range)?.parse::<u8>().ok().map(i64::from);
    let minutes = number(0..2)? * 60 + number(2..4)?;
    match (sign, digits.len()) {
        ("+", 4) => Some(minutes),
        ("-", 4) => Some(-minutes),
        _ => None,
    }
}

/// Year, month and day of a day counted from 1970-01-01 in the Gregorian calendar (H. Hinnant, `civil_from_days`).
fn civil(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(utc_s: i64, offset: Option<&str>, date: &str, time: &str) {
        let want = Moment { date: date.to_owned(), time: time.to_owned() };
        assert_eq!(Moment::of(utc_s * 1_000_000 + 250, offset), want);
    }

    /// Golden: GNU `date -u -d @SECONDS`.
    #[test]
    fn moments_are_those_of_the_calendar() {
        check(0, None, "19700101", "000000.000250");
        check(951_782_400, None, "20000229", "000000.000250");
        check(1_709_251_199, None, "20240229", "235959.000250");
        check(1_709_251_199, Some("+0130"), "20240301", "012959.000250");
        check(1_704_067_200, Some("-0500"), "20231231", "190000.000250");
        check(1_704_067_200, Some("west"), "20240101", "000000.000250");
    }
}
