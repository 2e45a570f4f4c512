//! `StudyService` and `FindingService`: watching, pages, request ids, explaining, deleting.
use overread::{
    gate::grpc::v1::{self, event::Body, finding_service_client::FindingServiceClient},
    uid::Uid,
};
use tokio_stream::StreamExt;
use tonic::Code;

use crate::{house::House, support::dicom::cr};

/// The events of a study from `cursor` on, up to its report.
async fn events(house: &House, name: &str, cursor: &str) -> Vec<v1::Event> {
    let asked = v1::WatchStudyRequest { name: name.into(), cursor: cursor.into() };
    let mut stream = house.studies().await.watch_study(asked).await.unwrap().into_inner();
    let mut events = Vec::new();
    while let Some(answer) = stream.next().await {
        let event = answer.unwrap().event.unwrap();
        let last = matches!(event.body, Some(Body::ReportCompleted(_)));
        events.push(event);
        if last {
            break;
        }
    }
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_from_any_cursor_misses_nothing_and_repeats_nothing() {
    let house = House::open().await;
    let image = cr(64, 64, 30);
    let name = format!("studies/{}", image.study);
    // One watch began before the first instance came.
    let (early, _said) = tokio::join!(events(&house, &name, ""), house.analyze(vec![image.bytes()]));
    assert!(early.len() > 5 && matches!(early[0].body, Some(Body::InstanceStored(_))), "{early:?}");
    for (seen, event) in early[..early.len() - 1].iter().enumerate() {
        assert_eq!(events(&house, &name, &event.cursor).await, early[seen + 1..]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_give_every_study_once_newest_first_and_filters_hold() {
    let house = House::open().await;
    for seed in 40..45 {
        house.analyze(vec![cr(16, 16, seed).bytes()]).await;
    }
    let mut studies = house.studies().await;
    let filter = Some(v1::StudyFilter { state: v1::StudyState::Reported.into(), updated_since: None });
    let mut asked = v1::ListStudiesRequest { page_size: 2, page_token: String::new(), filter };
    let (mut names, mut sizes) = (Vec::new(), Vec::new());
    loop {
        let page = studies.list_studies(asked.clone()).await.unwrap().into_inner();
        sizes.push(page.studies.len());
        names.extend(page.studies.into_iter().map(|study| study.name));
        if page.next_page_token.is_empty() {
            break;
        }
        asked.page_token = page.next_page_token;
    }
    let newest_first: Vec<_> = (40..45).rev().map(|seed| format!("studies/{}", cr(1, 1, seed).study)).collect();
    assert_eq!((names, sizes), (newest_first, vec![2, 2, 1]));
    // A token belongs to its filter.
    asked.filter = None;
    let status = studies.list_studies(asked).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let open = Some(v1::StudyFilter { state: v1::StudyState::Open.into(), updated_since: None });
    let none = v1::ListStudiesRequest { filter: open, ..Default::default() };
    assert!(studies.list_studies(none).await.unwrap().into_inner().studies.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn findings_come_in_pages_and_by_outcome() {
    let house = House::open().await;
    let images: Vec<_> = (0..3)
        .map(|number| {
            let mut image = cr(32, 32, 50 + number);
            (image.study, image.patient_id) = (cr(1, 1, 50).study, cr(1, 1, 50).patient_id);
            image
        })
        .collect();
    house.analyze(images.iter().map(|image| image.bytes()).collect()).await;
    let parent = format!("studies/{}", images[0].study);
    let report = house.client().await.report(&Uid::parse(&images[0].study).unwrap(), None).await.unwrap();
    let mut findings = FindingServiceClient::new(house.channel().await);
    let mut asked = v1::ListFindingsRequest { parent: parent.clone(), page_size: 2, ..Default::default() };
    let mut uids = Vec::new();
    loop {
        let page = findings.list_findings(asked.clone()).await.unwrap().into_inner();
        assert!(page.findings.len() <= 2);
        uids.extend(page.findings.into_iter().map(|finding| finding.uid));
        if page.next_page_token.is_empty() {
            break;
        }
        asked.page_token = page.next_page_token;
    }
    assert_eq!(uids, report.findings.iter().map(|finding| finding.uid.to_string()).collect::<Vec<_>>());
    assert!(uids.len() >= 3);
    let mut counted = 0;
    for outcome in [v1::FindingOutcome::Positive, v1::FindingOutcome::Negative, v1::FindingOutcome::Indeterminate] {
        let filter = Some(v1::FindingFilter { outcome: outcome.into(), model: "models/tiny-radiograph".into() });
        let asked = v1::ListFindingsRequest { parent: parent.clone(), filter, ..Default::default() };
        let page = findings.list_findings(asked).await.unwrap().into_inner();
        assert!(page.findings.iter().all(|finding| finding.outcome() == outcome));
        counted += page.findings.len();
    }
    assert_eq!(counted, uids.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_id_is_answered_as_the_first_time() {
    let house = House::open().await;
    let (image, other) = (cr(32, 32, 60), cr(32, 32, 61));
    house.analyze(vec![image.bytes(), other.bytes()]).await;
    let mut studies = house.studies().await;
    let delete = |name: &str| v1::DeleteStudyRequest { name: name.into(), request_id: "delete-once".into() };
    let name = format!("studies/{}", image.study);
    studies.delete_study(delete(&name)).await.expect("deleted");
    studies.delete_study(delete(&name)).await.expect("answered as before, though the study is gone");
    let status = studies.delete_study(delete(&format!("studies/{}", other.study))).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let again = v1::DeleteStudyRequest { name, request_id: String::new() };
    assert_eq!(studies.delete_study(again).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_study_is_gone_and_may_come_again() {
    let house = House::open().await;
    let image = cr(32, 32, 62);
    let first = house.analyze(vec![image.bytes()]).await;
    let name = format!("studies/{}", image.study);
    let mut studies = house.studies().await;
    studies.delete_study(v1::DeleteStudyRequest { name: name.clone(), request_id: String::new() }).await.unwrap();
    assert_eq!(studies.get_study(v1::GetStudyRequest { name: name.clone() }).await.unwrap_err().code(), Code::NotFound);
    let mut watch =
        studies.watch_study(v1::WatchStudyRequest { name, cursor: String::new() }).await.unwrap().into_inner();
    let event = watch.next().await.unwrap().unwrap().event.unwrap();
    assert!(matches!(event.body, Some(Body::StudyDeleted(_))), "{event:?}");
    let again = house.analyze(vec![image.bytes()]).await;
    assert_eq!(again.events.len(), first.events.len());
    assert_eq!(again.receipts, first.receipts);
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_stored_without_a_seal_wait_and_the_seal_is_explained() {
    let house = House::open().await;
    let (image, mut unread) = (cr(32, 32, 63), cr(32, 32, 64));
    (unread.study, unread.patient_id) = (image.study.clone(), image.patient_id.clone());
    unread.modality = "CT".into();
    let parts: Vec<_> = [image.bytes(), unread.bytes(), b"junk".to_vec()]
        .iter()
        .flat_map(|object| crate::house::parts(object, 1 << 20))
        .map(|part| v1::StoreInstancesRequest { part: Some(store_part(part)) })
        .collect();
    let mut studies = house.studies().await;
    let mut receipts = studies.store_instances(tokio_stream::iter(parts)).await.unwrap().into_inner();
    let mut outcomes = Vec::new();
    while let Some(answer) = receipts.next().await {
        outcomes.push(answer.unwrap().receipt.unwrap().outcome());
    }
    use v1::ReceiptOutcome as O;
    assert_eq!(outcomes, [O::Stored, O::Stored, O::Refused]);
    let name = format!("studies/{}", image.study);
    let get = v1::GetStudyRequest { name: name.clone() };
    let study = studies.get_study(get).await.unwrap().into_inner().study.unwrap();
    assert_eq!((study.state(), study.instance_count), (v1::StudyState::Open, 2));
    let seal = v1::SealStudyRequest { name: name.clone(), request_id: "seal-1".into() };
    studies.seal_study(seal).await.unwrap();
    events(&house, &name, "").await;
    let explained = studies.explain_study(v1::ExplainStudyRequest { name: name.clone() }).await.unwrap().into_inner();
    assert_eq!((explained.revision, &*explained.sealed_by, explained.seal_time.is_some()), (1, "request", true));
    let [choice] = &explained.choices[..] else { panic!("{:?}", explained.choices) };
    assert_eq!((&*choice.model, &*choice.version), ("models/tiny-radiograph", "1.0.0"));
    assert_eq!(choice.sop_instance_uids, [image.sop_instance]);
    assert_eq!(choice.rejections[0].code(), v1::Code::WrongModality);
    assert!(choice.rejections[0].detail.to_lowercase().contains("modality"), "{}", choice.rejections[0].detail);
    let [target] = &explained.targets[..] else { panic!("{:?}", explained.targets) };
    assert_eq!((target.state(), target.attempts), (v1::TargetState::Done, 1));
    assert_eq!(explained.not_analysed[0].code(), v1::Code::NoModelApplies);
    assert_eq!(explained.code_version, env!("CARGO_PKG_VERSION"));
    let beyond = v1::ExplainStudyRequest { name: format!("{name}/revisions/2") };
    assert_eq!(studies.explain_study(beyond).await.unwrap_err().code(), Code::NotFound);
}

fn store_part(part: v1::analyze_request::Part) -> v1::store_instances_request::Part {
    use v1::{analyze_request::Part as A, store_instances_request::Part as S};
    match part {
        A::InstanceStart(start) => S::InstanceStart(start),
        A::Chunk(chunk) => S::Chunk(chunk),
        A::InstanceEnd(end) => S::InstanceEnd(end),
    }
}
