//! What a server says of itself: reflection, health, models, and how it ends.
use overread::dicom::DecodeMode;
use overread::gate::grpc::v1::{self, model_service_client::ModelServiceClient};
use tokio_stream::StreamExt;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::house::House;

/// Both versions of reflection: which services they list. They differ by their package alone.
macro_rules! services {
    ($version:ident, $channel:expr) => {{
        use tonic_reflection::pb::$version::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        };
        let list = MessageRequest::ListServices(String::new());
        let request = ServerReflectionRequest { host: String::new(), message_request: Some(list) };
        let mut client = ServerReflectionClient::new($channel);
        let mut answers = client.server_reflection_info(tokio_stream::iter([request])).await.unwrap().into_inner();
        let answer = answers.next().await.unwrap().unwrap().message_response.unwrap();
        let MessageResponse::ListServicesResponse(list) = answer else { panic!("{answer:?}") };
        list.service.into_iter().map(|service| service.name).collect::<Vec<_>>()
    }};
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_lists_every_service() {
    let house = House::open().await;
    let ours = ["AnalysisService", "FindingService", "ModelService", "ObjectService", "StudyService"]
        .map(|s| format!("overread.v1.{s}"));
    for names in [services!(v1, house.channel().await), services!(v1alpha, house.channel().await)] {
        for name in ours.iter().map(String::as_str).chain(["grpc.health.v1.Health"]) {
            assert!(names.iter().any(|known| known == name), "{name} is not in {names:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_for_the_server_and_for_each_model() {
    let models = tempfile::tempdir().unwrap();
    let good = models.path().join("tiny-radiograph");
    copy("tests/data/models/tiny-radiograph".as_ref(), &good);
    // A model without its card is refused; the other one serves.
    copy(&good, &models.path().join("cardless"));
    let manifest = models.path().join("cardless/model.toml");
    let text = std::fs::read_to_string(&manifest).unwrap().replace("\"tiny-radiograph\"", "\"cardless\"");
    std::fs::write(&manifest, text).unwrap();
    std::fs::remove_file(models.path().join("cardless/card.md")).unwrap();
    let house = House::open_with(|config| config.server.models_dir = models.path().to_owned()).await;
    let mut health = HealthClient::new(house.channel().await);
    for (service, want) in [
        ("", ServingStatus::Serving),
        ("overread.v1.AnalysisService", ServingStatus::Serving),
        ("models/tiny-radiograph", ServingStatus::Serving),
        ("models/cardless", ServingStatus::NotServing),
        ("decode/workers", ServingStatus::Serving),
        ("decode/in-process", ServingStatus::NotServing),
    ] {
        let answer = health.check(HealthCheckRequest { service: service.into() }).await.unwrap();
        assert_eq!(answer.into_inner().status(), want, "{service}");
    }
    let mut service = ModelServiceClient::new(house.channel().await);
    let list = service.list_models(v1::ListModelsRequest::default()).await.unwrap().into_inner().models;
    let states: Vec<_> = list.iter().map(|model| (&*model.name, model.state())).collect();
    let expected =
        [("models/cardless", v1::ModelState::Unavailable), ("models/tiny-radiograph", v1::ModelState::Serving)];
    assert_eq!(states, expected);
    assert_eq!(list[0].reason.as_ref().map(v1::Reason::code), Some(v1::Code::ModelUnavailable));
    let get = v1::GetModelRequest { name: "models/tiny-radiograph".into() };
    let model = service.get_model(get).await.unwrap().into_inner().model.unwrap();
    assert_eq!(model.card, std::fs::read_to_string(good.join("card.md")).unwrap());
    assert_eq!(model.labels.iter().map(|label| &*label.label).collect::<Vec<_>>(), ["bright", "dark"]);
    let missing = v1::GetModelRequest { name: "models/none".into() };
    assert_eq!(service.get_model(missing).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn decoding_in_process_is_told_by_health() {
    let house = House::open_with(|config| config.decode.mode = DecodeMode::InProcess).await;
    let mut health = HealthClient::new(house.channel().await);
    for (service, want) in [
        ("decode/workers", ServingStatus::NotServing),
        ("decode/in-process", ServingStatus::Serving),
        ("decode/seccomp", ServingStatus::NotServing),
    ] {
        let answer = health.check(HealthCheckRequest { service: service.into() }).await.unwrap();
        assert_eq!(answer.into_inner().status(), want, "{service}");
    }
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_ends_a_watch_with_its_code_and_the_server_returns() {
    let house = House::open().await;
    let asked = v1::WatchStudyRequest { name: "studies/1.2.3".into(), cursor: String::new() };
    let mut watch = house.studies().await.watch_study(asked).await.unwrap().into_inner();
    let stopping = tokio::spawn(house.server.stop());
    let status = watch.next().await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    stopping.await.unwrap().expect("the server ends well");
}
