//! What goes wrong on the wire: every end has a code and details, and what was acknowledged is kept.
use std::time::Duration;

use bytes::Bytes;
use overread::gate::grpc::v1::{self, analysis_service_client::AnalysisServiceClient, analyze_request::Part};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use crate::{
    house::{House, parts, requests},
    support::dicom::cr,
};

/// Sends raw parts and half-closes; the status that ends the call.
async fn end_of(house: &House, parts: Vec<Part>) -> Status {
    let mut client = AnalysisServiceClient::new(house.channel().await);
    let answers = client.analyze(tokio_stream::iter(requests(parts))).await;
    let mut answers = answers.expect("the call begins").into_inner();
    loop {
        match answers.message().await {
            Ok(Some(_)) => {}
            Ok(None) => return Status::new(Code::Ok, ""),
            Err(status) => return status,
        }
    }
}

fn reason(status: &Status) -> String {
    status.get_error_details().error_info().map(|info| format!("{}/{}", info.domain, info.reason)).unwrap_or_default()
}

#[track_caller]
fn check_field(status: &Status, field: &str) {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert_eq!(reason(status), "overread/INVALID_ARGUMENT");
    let details = status.get_error_details();
    let fields: Vec<_> = details.bad_request().expect("a field").field_violations.iter().map(|v| &*v.field).collect();
    assert_eq!(fields, [field]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_order_of_parts_or_a_chunk_that_is_too_large_ends_the_call_and_names_the_field() {
    let house = House::open().await;
    let start = || Part::InstanceStart(v1::InstanceStart { size_bytes: 4 << 20 });
    let chunk = |bytes: usize| Part::Chunk(Bytes::from(vec![0; bytes]));
    check_field(&end_of(&house, vec![chunk(1)]).await, "chunk");
    check_field(&end_of(&house, vec![start(), start()]).await, "instance_start");
    check_field(&end_of(&house, vec![start(), chunk((1 << 20) + 1)]).await, "chunk");
    // Beyond what the transport takes as one message: still a code of ours.
    let status = end_of(&house, vec![start(), chunk(3 << 20)]).await;
    assert_eq!((status.code(), &*reason(&status)), (Code::InvalidArgument, "overread/INVALID_ARGUMENT"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_without_its_end_is_never_stored() {
    let house = House::open().await;
    let (whole, half) = (cr(64, 64, 20).bytes(), cr(64, 64, 21));
    let mut sent = parts(&whole, 1000);
    let mut unfinished = parts(&half.bytes(), 1000);
    unfinished.pop();
    sent.extend(unfinished);
    let mut client = AnalysisServiceClient::new(house.channel().await);
    let mut answers = client.analyze(tokio_stream::iter(requests(sent))).await.unwrap().into_inner();
    let receipt = answers.message().await.unwrap().expect("a receipt");
    let Some(v1::analyze_response::Part::Receipt(receipt)) = receipt.part else { panic!("{receipt:?}") };
    assert_eq!((receipt.index, receipt.outcome()), (0, v1::ReceiptOutcome::Stored));
    let status = answers.message().await.expect_err("the call does not end well");
    assert_eq!((status.code(), &*reason(&status)), (Code::InvalidArgument, "overread/TRUNCATED"));
    let name = format!("studies/{}", half.study);
    let missing = house.studies().await.get_study(v1::GetStudyRequest { name }).await.expect_err("it is not there");
    assert_eq!(missing.code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_vanishes_leaves_what_has_a_receipt_and_its_study_is_sealed_after_the_quiet_period() {
    let house = House::open_with(|config| config.study.quiet_period_s = 1).await;
    // Between two instances a stream that was reset looks like one that was half-closed.
    for (seed, parts_of_the_next) in [(22, 0), (23, 1), (24, 20)] {
        let (acknowledged, half) = (cr(64, 64, seed), cr(64, 64, 100 + seed));
        vanish(&house, &acknowledged.bytes(), &half.bytes(), parts_of_the_next).await;
        assert_eq!(sealed_by(&house, &acknowledged.study).await, "quiet_period", "after {parts_of_the_next} parts");
        let name = format!("studies/{}", half.study);
        let half = house.studies().await.get_study(v1::GetStudyRequest { name }).await;
        assert_eq!(half.unwrap_err().code(), Code::NotFound);
    }
}

/// Sends `whole`, waits for its receipt, sends `parts_of_the_next` parts of `next`, and goes away.
async fn vanish(house: &House, whole: &[u8], next: &[u8], parts_of_the_next: usize) {
    let (sender, requests_to_come) = tokio::sync::mpsc::channel(64);
    let mut client = AnalysisServiceClient::new(house.channel().await);
    let mut answers = client.analyze(ReceiverStream::new(requests_to_come)).await.unwrap().into_inner();
    for request in requests(parts(whole, 1 << 20)) {
        sender.send(request).await.unwrap();
    }
    let receipt = answers.message().await.unwrap().expect("a receipt");
    let Some(v1::analyze_response::Part::Receipt(receipt)) = receipt.part else { panic!("{receipt:?}") };
    assert_eq!(receipt.outcome(), v1::ReceiptOutcome::Stored);
    for request in requests(parts(next, 100)).into_iter().take(parts_of_the_next) {
        sender.send(request).await.unwrap();
    }
    drop((answers, client, sender));
}

/// What sealed a study, once it is reported.
async fn sealed_by(house: &House, study: &str) -> String {
    let watch = v1::WatchStudyRequest { name: format!("studies/{study}"), cursor: String::new() };
    let mut events = house.studies().await.watch_study(watch).await.unwrap().into_inner();
    let mut sealed_by = String::new();
    while let Some(answer) = events.next().await {
        match answer.unwrap().event.unwrap().body.unwrap() {
            v1::event::Body::StudySealed(sealed) => sealed_by = sealed.sealed_by,
            v1::event::Body::ReportCompleted(_) => break,
            _ => {}
        }
    }
    sealed_by
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_ends_the_call_with_its_own_status_and_the_work_goes_on() {
    let house = House::open().await;
    let image = cr(64, 64, 27);
    let (sender, requests_to_come) = tokio::sync::mpsc::channel(64);
    for request in requests(parts(&image.bytes(), 1 << 20)) {
        sender.send(request).await.unwrap();
    }
    let mut call = Request::new(ReceiverStream::new(requests_to_come));
    call.set_timeout(Duration::from_millis(300));
    let mut client = AnalysisServiceClient::new(house.channel().await);
    let mut answers = client.analyze(call).await.unwrap().into_inner();
    // The client does not half-close: only the deadline ends this.
    let status = loop {
        match answers.message().await {
            Ok(answer) => assert!(answer.is_some(), "the call ended well"),
            Err(status) => break status,
        }
    };
    assert_eq!((status.code(), &*reason(&status)), (Code::DeadlineExceeded, "overread/DEADLINE_EXCEEDED"));
    assert!(status.get_error_details().retry_info().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_names_name_their_field_and_missing_things_their_resource() {
    let house = House::open().await;
    let mut studies = house.studies().await;
    let status = studies.get_study(v1::GetStudyRequest { name: "patients/1".into() }).await.unwrap_err();
    check_field(&status, "name");
    let list = v1::ListStudiesRequest { page_size: 1001, ..Default::default() };
    check_field(&studies.list_studies(list).await.unwrap_err(), "page_size");
    let list = v1::ListStudiesRequest { page_token: "made up".into(), ..Default::default() };
    check_field(&studies.list_studies(list).await.unwrap_err(), "page_token");
    let watch = v1::WatchStudyRequest { name: "studies/1.2".into(), cursor: "yesterday".into() };
    let mut watched = studies.watch_study(watch).await.unwrap().into_inner();
    check_field(&watched.message().await.unwrap_err(), "cursor");
    let status = studies.get_study(v1::GetStudyRequest { name: "studies/1.2.3".into() }).await.unwrap_err();
    assert_eq!((status.code(), &*reason(&status)), (Code::NotFound, "overread/NOT_FOUND"));
    let details = status.get_error_details();
    let resource = details.resource_info().expect("a resource");
    assert_eq!((&*resource.resource_type, &*resource.resource_name), ("overread.v1/Study", "1.2.3"));
    let remedy = details.error_info().and_then(|info| info.metadata.get("remedy").cloned());
    assert!(remedy.is_some_and(|remedy| !remedy.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_falls_silent_gives_its_memory_back_to_those_who_wait() {
    let house = House::open_with(|config| {
        config.grpc.peer_idle_s = 1;
        config.dicom.instance_bytes_max = 1 << 20;
        // Room for one instance of the largest size.
        config.grpc.transfer_bytes_max = 1 << 20;
    })
    .await;
    let (sender, requests_to_come) = tokio::sync::mpsc::channel(4);
    let start = Part::InstanceStart(v1::InstanceStart { size_bytes: 1 << 20 });
    sender.send(requests(vec![start]).remove(0)).await.unwrap();
    let mut client = AnalysisServiceClient::new(house.channel().await);
    let mut silent = client.analyze(ReceiverStream::new(requests_to_come)).await.unwrap().into_inner();
    let said = house.analyze(vec![cr(64, 64, 25).bytes()]).await;
    assert_eq!(said.receipts[0].outcome, overread::gate::grpc::client::Outcome::Stored);
    let status = silent.message().await.expect_err("the call ends");
    assert_eq!((status.code(), &*reason(&status)), (Code::DeadlineExceeded, "overread/DEADLINE_EXCEEDED"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_larger_than_the_limit_is_refused_before_its_bytes_come_and_the_next_is_taken() {
    let house = House::open_with(|config| config.dicom.instance_bytes_max = 100_000).await;
    let said = house.analyze(vec![vec![0; 100_001], cr(64, 64, 26).bytes()]).await;
    use overread::gate::grpc::client::Outcome;
    let Outcome::Refused(error) = &said.receipts[0].outcome else { panic!("{:?}", said.receipts) };
    assert_eq!(error.code, overread::error::Code::TooLarge);
    assert!(error.detail.contains("instance_bytes_max"), "{}", error.detail);
    assert_eq!(said.receipts[1].outcome, Outcome::Stored);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_streams_than_allowed_are_busy_and_say_when_to_come_again() {
    let house = House::open_with(|config| config.grpc.streams_max = 1).await;
    let mut studies = house.studies().await;
    let asked = v1::WatchStudyRequest { name: "studies/1.2.3".into(), cursor: String::new() };
    let first = studies.watch_study(asked.clone()).await.expect("there is a place");
    let status = studies.watch_study(asked.clone()).await.unwrap_err();
    assert_eq!((status.code(), &*reason(&status)), (Code::ResourceExhausted, "overread/BUSY"));
    assert!(status.get_error_details().retry_info().and_then(|info| info.retry_delay).is_some());
    drop(first);
    // The place is free again as soon as the server has noticed.
    while let Err(status) = studies.watch_study(asked.clone()).await {
        assert_eq!(status.code(), Code::ResourceExhausted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_connections_than_allowed_wait_for_one_to_close() {
    let house = House::open_with(|config| config.grpc.connections_max = 1).await;
    let mut first = house.studies().await;
    let list = v1::ListStudiesRequest::default();
    first.list_studies(list.clone()).await.expect("the first connection is served");
    let mut second = house.studies().await;
    let waits = tokio::time::timeout(Duration::from_millis(200), second.list_studies(list.clone())).await;
    assert!(waits.is_err(), "the second connection was served beside the first");
    drop(first);
    second.list_studies(list).await.expect("the second connection is served");
}
