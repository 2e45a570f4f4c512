//! The life of a study: a pure table of states and events.
//!
//! ```text
//! Open ─seal→ Sealed(r) ─plan→ Planned(r) ─report→ Reported(r)      late instance → Open(r+1); work on r still ends, as r
//!      └seal, nothing stored→ Refused(r)       └quarantine→ Quarantined(r)
//! ```
use crate::{
    error::{Error, Result},
    ledger::{self, Change, Decide, NewWork, State, StudyRow},
};

/// What can happen to a study. `of` is the revision that the event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// An instance became durable.
    InstanceStored,
    /// An instance that names this study was refused.
    InstanceRefused,
    /// A rule or a caller says that the study is complete; `stored`: instances held.
    Seal {
        /// Number of instances held; a study of refused instances alone ends as `Refused`.
        stored: u32,
    },
    /// The plan of a revision is durable.
    Planned {
        /// Its revision.
        of: u32,
    },
    /// The report of a revision is durable.
    Reported {
        /// Its revision.
        of: u32,
    },
    /// A revision was put aside, with a report that says so.
    Quarantined {
        /// Its revision.
        of: u32,
    },
}

/// What follows from a transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Revision `of` waits to be planned and analysed.
    Analyse {
        /// The revision to work on.
        of: u32,
    },
}

/// One transition. `None` in `now`: the study is not known yet. Result `None`: this event cannot come in this state.
///
/// Events about an older revision leave the present state alone: their work ends as that revision.
pub fn step(now: Option<(State, u32)>, event: Event) -> Option<((State, u32), Option<Effect>)> {
    use {Event as E, State as S};
    let Some((state, revision)) = now else {
        return match event {
            E::InstanceStored | E::InstanceRefused => Some(((S::Open, 1), None)),
            E::Seal { .. } | E::Planned { .. } | E::Reported { .. } | E::Quarantined { .. } => None,
        };
    };
    let stay = ((state, revision), None);
    Some(match (state, event) {
        (S::Open, E::InstanceStored) => stay,
        // A late instance opens the next revision; work on the old one goes on, and ends as the old one.
        (S::Sealed | S::Planned | S::Reported | S::Refused | S::Quarantined, E::InstanceStored) => {
            ((S::Open, revision + 1), None)
        }
        // A refused instance changes nothing that was stored: it is on record, and the study stays what it is.
        (_, E::InstanceRefused) => stay,
        (S::Open, E::Seal { stored: 0 }) => ((S::Refused, revision), None),
        (S::Open, E::Seal { .. }) => ((S::Sealed, revision), Some(Effect::Analyse { of: revision })),
        // Timer and caller may both seal.
        (S::Sealed | S::Planned | S::Reported | S::Refused | S::Quarantined, E::Seal { .. }) => stay,
        (S::Sealed, E::Planned { of }) if of == revision => ((S::Planned, revision), None),
        // A study that was resumed is planned again.
        (S::Planned, E::Planned { of }) if of == revision => stay,
        (S::Sealed | S::Planned, E::Reported { of }) if of == revision => ((S::Reported, revision), None),
        (S::Sealed | S::Planned, E::Quarantined { of }) if of == revision => ((S::Quarantined, revision), None),
        (_, E::Planned { of } | E::Reported { of } | E::Quarantined { of }) if of < revision => stay,
        (
            S::Open | S::Sealed | S::Planned | S::Reported | S::Refused | S::Quarantined,
            E::Planned { .. } | E::Reported { .. } | E::Quarantined { .. },
        ) => return None,
    })
}

/// `step` as the ledger takes it: a decision made inside the writer's transaction, with `events` appended in the same one.
/// `class`: 0 Stat, 1 Routine, 2 Bulk, for the work that a seal makes.
pub fn on_event(event: impl FnOnce(Option<&StudyRow>) -> Event + Send + 'static, class: u8) -> Decide {
    Box::new(move |row| {
        let event = event(row);
        let (now, effect) = step(row.map(|row| (row.state, row.revision)), event)
            .ok_or_else(|| Error::internal(format!("study event {event:?} in state {:?}", row.map(|row| row.state))))?;
        let changed = row.map(|row| (row.state, row.revision)) != Some(now);
        Ok(Change {
            state: changed.then_some(now),
            work: effect.map(|Effect::Analyse { of }| NewWork { revision: of, class }),
            ..Change::default()
        })
    })
}

/// As [`on_event`], with what is written to the event log when the state changes.
pub(super) fn on_event_logged(
    event: impl FnOnce(Option<&StudyRow>) -> Event + Send + 'static,
    class: u8,
    log: impl FnOnce(State) -> Vec<ledger::Event> + Send + 'static,
) -> Decide {
    let decide = on_event(event, class);
    Box::new(move |row| -> Result<Change> {
        let mut change = decide(row)?;
        if let Some((state, _)) = change.state {
            change.events = log(state);
        }
        Ok(change)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: [Event; 5] = [
        Event::InstanceStored,
        Event::InstanceRefused,
        Event::Seal { stored: 1 },
        Event::Planned { of: 0 },
        Event::Reported { of: 0 },
    ];

    /// Every order of events eight deep, with the work that seals make carried out in order: each sealed revision is
    /// reported exactly once, revisions only grow, and nothing that may happen is impossible.
    #[test]
    fn every_sealed_revision_is_reported_exactly_once() {
        #[derive(Clone, Default)]
        struct World {
            now: Option<(State, u32)>,
            sealed: Vec<u32>,
            planned: Vec<u32>,
            reported: Vec<u32>,
        }
        fn walk(world: &World, depth: u32, walked: &mut u64) {
            *walked += 1;
            let mut unique = world.reported.clone();
            unique.dedup();
            assert_eq!(unique, world.reported);
            if depth == 0 {
                return;
            }
            for event in EVENTS {
                let mut next = world.clone();
                let event = match event {
                    Event::Planned { .. } => match world.sealed.iter().find(|r| !world.planned.contains(r)) {
                        Some(&of) => Event::Planned { of },
                        None => continue,
                    },
                    Event::Reported { .. } => match world.planned.iter().find(|r| !world.reported.contains(r)) {
                        Some(&of) => Event::Reported { of },
                        None => continue,
                    },
                    Event::Seal { .. } if world.now.is_none() => continue,
                    Event::InstanceStored | Event::InstanceRefused | Event::Seal { .. } | Event::Quarantined { .. } => {
                        event
                    }
                };
                let (now, effect) = step(world.now, event).unwrap_or_else(|| panic!("{:?} {event:?}", world.now));
                assert!(now.1 >= world.now.map_or(1, |(_, revision)| revision));
                next.now = Some(now);
                if let Some(Effect::Analyse { of }) = effect {
                    assert!(!next.sealed.contains(&of), "revision {of} would be analysed twice");
                    next.sealed.push(of);
                }
                match event {
                    Event::Planned { of } => next.planned.push(of),
                    Event::Reported { of } => next.reported.push(of),
                    Event::InstanceStored | Event::InstanceRefused | Event::Seal { .. } | Event::Quarantined { .. } => {
                    }
                }
                walk(&next, depth - 1, walked);
            }
        }
        let mut walked = 0;
        walk(&World::default(), 8, &mut walked);
        assert!(walked > 10_000, "{walked}");
    }

    #[track_caller]
    fn check(now: (State, u32), event: Event, want: Option<(State, u32)>) {
        assert_eq!(step(Some(now), event).map(|(state, _)| state), want);
    }

    #[test]
    fn a_study_of_refused_instances_alone_ends_refused() {
        check((State::Open, 1), Event::Seal { stored: 0 }, Some((State::Refused, 1)));
        check((State::Refused, 1), Event::InstanceStored, Some((State::Open, 2)));
    }

    #[test]
    fn work_on_an_older_revision_ends_without_touching_the_newer() {
        check((State::Open, 2), Event::Reported { of: 1 }, Some((State::Open, 2)));
        check((State::Reported, 1), Event::Reported { of: 2 }, None);
        check((State::Reported, 1), Event::Reported { of: 1 }, None);
    }
}
