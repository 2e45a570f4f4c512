//! `ModelService`: the installed models, those that serve and those that were refused at start.
use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{call::unary, convert, name, page::Page, serve::Gate, v1};
use crate::{
    error::{Code, Error, Result, Subject},
    model::{self, Model},
};

/// What the server's models look like from outside, by name.
#[derive(Debug, Clone)]
pub(super) struct ModelsView {
    models: Vec<v1::Model>,
}

impl ModelsView {
    /// `models`: those that serve. `refused`: names with the reason. A model that is in both does not serve.
    pub(super) fn new(models: &[Arc<Model>], refused: &[(String, Error)]) -> ModelsView {
        let mut seen: Vec<v1::Model> = models.iter().map(|model| installed(model)).collect();
        for (name, error) in refused {
            let name = name::of_model(name);
            match seen.iter_mut().find(|model| model.name == name) {
                Some(model) => refuse(model, error),
                None => {
                    let mut model = v1::Model { name, ..v1::Model::default() };
                    refuse(&mut model, error);
                    seen.push(model);
                }
            }
        }
        seen.sort_by(|a, b| a.name.cmp(&b.name));
        ModelsView { models: seen }
    }

    /// The name under which `grpc.health.v1` answers for each model, `models/{model}`, and whether it serves.
    pub(super) fn health(&self) -> impl Iterator<Item = (&str, bool)> {
        self.models.iter().map(|model| (model.name.as_str(), model.state() == v1::ModelState::Serving))
    }

    fn page(&self, page: &Page) -> (Vec<v1::Model>, String) {
        let after = |model: &&v1::Model| page.after.as_ref().is_none_or(|after| model.name > *after);
        let mut models: Vec<v1::Model> =
            self.models.iter().filter(after).take(page.asked() as usize).cloned().collect();
        for model in &mut models {
            model.card.clear();
        }
        let next = page.cut(&mut models, |model| model.name.clone());
        (models, next)
    }

    fn get(&self, name: &str) -> Result<v1::Model> {
        let missing =
            || Error::new(Code::NotFound, "no model of this name is installed").about(Subject::Model(name.to_owned()));
        let name = name::of_model(name);
        self.models.iter().find(|model| model.name == name).cloned().ok_or_else(missing)
    }
}

fn installed(model: &Model) -> v1::Model {
    let manifest = &model.manifest;
    v1::Model {
        name: name::of_model(manifest.name.as_str()),
        version: manifest.version.clone(),
        weights_sha256: model.digest.clone(),
        summary: manifest.title.clone(),
        state: v1::ModelState::Serving.into(),
        reason: None,
        labels: manifest.labels.iter().map(label).collect(),
        // A card was there when the model was checked; should it be gone, the model still serves.
        card: model.card().unwrap_or_default(),
    }
}

fn refuse(model: &mut v1::Model, error: &Error) {
    model.state = v1::ModelState::Unavailable.into();
    model.reason = Some(convert::reason_of(error));
}

fn label(label: &model::Label) -> v1::ModelLabel {
    v1::ModelLabel {
        label: label.name.to_string(),
        code: Some(convert::coded_concept(&label.code)),
        threshold: label.threshold,
        operating_point: label.operating_point.map(convert::operating_point),
        experimental: label.status == model::Status::Experimental,
    }
}

/// The service.
pub(super) struct Models(pub(super) Gate);

#[tonic::async_trait]
impl v1::model_service_server::ModelService for Models {
    async fn list_models(
        &self,
        request: Request<v1::ListModelsRequest>,
    ) -> std::result::Result<Response<v1::ListModelsResponse>, Status> {
        unary(request, async |asked| {
            let page = Page::of(asked.page_size, &asked.page_token, b"models")?;
            let (models, next_page_token) = self.0.models.page(&page);
            Ok(v1::ListModelsResponse { models, next_page_token })
        })
        .await
    }

    async fn get_model(
        &self,
        request: Request<v1::GetModelRequest>,
    ) -> std::result::Result<Response<v1::GetModelResponse>, Status> {
        unary(request, async |asked| {
            let model = self.0.models.get(name::model("name", &asked.name)?)?;
            Ok(v1::GetModelResponse { model: Some(model) })
        })
        .await
    }
}
