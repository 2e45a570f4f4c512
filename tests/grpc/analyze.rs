//! `Analyze`: images in, findings out, in one call.
use overread::{
    error::{Code, Subject},
    gate::grpc::client::{Event, HeatmapFormat, Outcome, StudyEvent},
    uid::Uid,
};

use crate::{
    house::{House, Said},
    support::dicom::cr,
};

fn outcomes(said: &Said) -> Vec<&Outcome> {
    said.receipts.iter().map(|receipt| &receipt.outcome).collect()
}

fn place(events: &[StudyEvent], what: impl Fn(&Event) -> bool) -> Vec<usize> {
    events.iter().enumerate().filter(|(_, event)| what(&event.event)).map(|(place, _)| place).collect()
}

fn findings(events: &[StudyEvent]) -> Vec<&overread::finding::Finding> {
    let finding = |event: &'_ StudyEvent| matches!(event.event, Event::Finding(_));
    events
        .iter()
        .filter(|event| finding(event))
        .map(|event| match &event.event {
            Event::Finding(finding) => finding.as_ref(),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_gives_receipts_then_events_with_findings_before_the_last_heatmap() {
    let house = House::open().await;
    let image = cr(96, 80, 1);
    let said = house.analyze(vec![image.bytes()]).await;
    assert_eq!(outcomes(&said), [&Outcome::Stored]);
    assert_eq!(said.receipts[0].sop_instance.as_ref().map(Uid::as_str), Some(&*image.sop_instance));
    let sealed = place(&said.events, |event| matches!(event, Event::Sealed { by } if by == "call_end"));
    let planned = place(&said.events, |event| matches!(event, Event::TargetPlanned { .. }));
    let started = place(&said.events, |event| matches!(event, Event::TargetStarted { attempt: 1, .. }));
    let found = place(&said.events, |event| matches!(event, Event::Finding(_)));
    let drawn = place(&said.events, |event| matches!(event, Event::Heatmap { .. }));
    let reported = place(&said.events, |event| *event == Event::Reported);
    assert!(sealed < planned && planned < started && started[0] < found[0], "{:?}", said.events);
    assert!(found[0] < drawn[drawn.len() - 1] && drawn.len() == found.len(), "{:?}", said.events);
    assert_eq!(reported, [said.events.len() - 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_holds_the_findings_that_were_streamed_and_each_has_its_heatmap_in_three_formats() {
    let house = House::open().await;
    let image = cr(96, 80, 2);
    let said = house.analyze(vec![image.bytes()]).await;
    let client = house.client().await;
    let study = Uid::parse(&image.study).unwrap();
    let report = client.report(&study, None).await.expect("a report");
    assert_eq!(report.findings.iter().collect::<Vec<_>>(), findings(&said.events));
    assert!(!report.findings.is_empty());
    for finding in &report.findings {
        let get = async |format| client.heatmap(&study, 1, &finding.uid, format).await.expect("a heatmap");
        let raw = get(HeatmapFormat::Float32).await;
        assert_eq!((raw.rows, raw.columns, raw.bytes.len()), (96, 80, 96 * 80 * 4));
        let values: Vec<f32> = raw.bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        assert!(values.iter().all(|value| (0.0..=1.0).contains(value)));
        let map = get(HeatmapFormat::MapPng).await;
        let (grey, width) = decode_png(&map.bytes);
        assert_eq!((grey.len(), width), (96 * 80, 80));
        for (grey, value) in grey.iter().zip(&values) {
            assert!((f32::from(*grey) / 255.0 - value).abs() <= 0.5 / 255.0 + 1e-6, "{grey} {value}");
        }
        let overlay = get(HeatmapFormat::OverlayPng).await;
        assert!(overlay.bytes.starts_with(b"\x89PNG"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heatmap_larger_than_one_message_comes_whole_and_its_overlay_is_reduced() {
    let house = House::open().await;
    let image = cr(1200, 1000, 13);
    let said = house.analyze(vec![image.bytes()]).await;
    let (client, study) = (house.client().await, Uid::parse(&image.study).unwrap());
    let finding = &findings(&said.events)[0].uid;
    let raw = client.heatmap(&study, 1, finding, HeatmapFormat::Float32).await.unwrap();
    assert_eq!((raw.rows, raw.columns, raw.bytes.len()), (1200, 1000, 4_800_000));
    let overlay = client.heatmap(&study, 1, finding, HeatmapFormat::OverlayPng).await.unwrap();
    let (_pixels, width) = decode_png(&overlay.bytes);
    assert_eq!((overlay.columns, width < 1000, overlay.rows > width), (width, true, true));
}

fn decode_png(bytes: &[u8]) -> (Vec<u8>, u32) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
    let frame = reader.next_frame(&mut pixels).expect("a frame");
    pixels.truncate(frame.buffer_size());
    (pixels, frame.width)
}

#[tokio::test(flavor = "multi_thread")]
async fn sending_again_is_a_duplicate_and_answers_with_the_same_findings() {
    let house = House::open().await;
    let image = cr(64, 64, 3);
    let first = house.analyze(vec![image.bytes()]).await;
    let again = house.analyze(vec![image.bytes()]).await;
    assert_eq!(outcomes(&again), [&Outcome::Duplicate]);
    assert_eq!(findings(&again.events), findings(&first.events));
    assert_eq!(again.events.last().map(|event| (event.revision, &event.event)), Some((1, &Event::Reported)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_instance_opens_the_next_revision_and_the_old_report_stays() {
    let house = House::open().await;
    let first = cr(64, 64, 4);
    let mut late = cr(64, 64, 5);
    (late.study, late.patient_id) = (first.study.clone(), first.patient_id.clone());
    let one = house.analyze(vec![first.bytes()]).await;
    let two = house.analyze(vec![late.bytes()]).await;
    assert_eq!(two.events.last().map(|event| (event.revision, &event.event)), Some((2, &Event::Reported)));
    let client = house.client().await;
    let study = Uid::parse(&first.study).unwrap();
    assert_eq!(client.report(&study, Some(1)).await.unwrap().findings.len(), findings(&one.events).len());
    assert_eq!(client.report(&study, None).await.unwrap().revision, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_bytes_under_a_known_uid_are_a_conflict() {
    let house = House::open().await;
    let image = cr(64, 64, 6);
    let mut other = image.clone();
    other.pixels[0] ^= 1;
    let said = house.analyze(vec![image.bytes(), other.bytes()]).await;
    let [stored, conflict] = outcomes(&said)[..] else { panic!("{:?}", said.receipts) };
    assert_eq!(stored, &Outcome::Stored);
    let Outcome::Conflict(error) = conflict else { panic!("{conflict:?}") };
    assert_eq!((error.code, &error.subject), (Code::UidConflict, &Subject::Instance(image.sop_instance)));
    assert_eq!(said.events.last().map(|event| &event.event), Some(&Event::Reported));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_patient_under_one_study_uid_is_refused_and_two_studies_are_fine() {
    let house = House::open().await;
    let (first, apart) = (cr(64, 64, 7), cr(64, 64, 8));
    let mut second = cr(64, 64, 9);
    second.study = first.study.clone();
    let said = house.analyze(vec![first.bytes(), second.bytes(), apart.bytes()]).await;
    let [Outcome::Stored, Outcome::Refused(error), Outcome::Stored] = outcomes(&said)[..] else {
        panic!("{:?}", said.receipts)
    };
    assert_eq!((error.code, &error.subject), (Code::PatientMismatch, &Subject::Instance(second.sop_instance)));
    let mut reported: Vec<&str> =
        said.events.iter().filter(|event| event.event == Event::Reported).map(|event| event.study.as_str()).collect();
    reported.sort_unstable();
    assert_eq!(reported, [&*first.study, &*apart.study]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_said_and_the_others_go_on() {
    let house = House::open().await;
    let image = cr(64, 64, 10);
    let mut document = cr(64, 64, 11);
    document.sop_class = "1.2.840.10008.5.1.4.1.1.88.11".into();
    let cut = image.bytes()[..700].to_vec();
    let said = house.analyze(vec![b"no DICOM at all".to_vec(), Vec::new(), document.bytes(), cut, image.bytes()]).await;
    let codes: Vec<_> = outcomes(&said)
        .into_iter()
        .map(|outcome| match outcome {
            Outcome::Refused(error) => Some(error.code),
            Outcome::Stored => None,
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [Code::NotDicom, Code::NotDicom, Code::UnsupportedSopClass, Code::Truncated].map(Some);
    assert_eq!(codes, [expected.as_slice(), &[None]].concat());
    // The document's study holds nothing: it ends as refused. The image's study is reported.
    let ends: Vec<_> = said.events.iter().filter(|event| event.study.as_str() == document.study).collect();
    assert_eq!(ends.last().map(|event| &event.event), Some(&Event::Refused), "{:?}", said.events);
    assert!(said.events.iter().any(|event| event.study.as_str() == image.study && event.event == Event::Reported));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_no_model_reads_is_reported_with_a_code() {
    let house = House::open().await;
    let mut image = cr(64, 64, 12);
    image.modality = "CT".into();
    let said = house.analyze(vec![image.bytes()]).await;
    let reason = said.events.iter().find_map(|event| match &event.event {
        Event::NotAnalysed { model: None, reason } => Some(reason.clone()),
        _ => None,
    });
    let reason = reason.expect("a reason");
    assert_eq!((reason.code, &reason.subject), (Code::NoModelApplies, &Subject::Instance(image.sop_instance)));
    let report = house.client().await.report(&Uid::parse(&image.study).unwrap(), None).await.unwrap();
    assert_eq!((report.findings.len(), report.not_analysed), (0, vec![reason]));
}
