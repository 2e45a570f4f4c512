//! Made instances: what the ledger takes, without the rooms that would read it.
use overread::{
    ledger::{Change, Decide, NewInstance},
    uid::Uid,
};
use sha2::{Digest, Sha256};

/// Bytes `object` as instance `number` of a study of that name.
pub(crate) fn instance(study: &str, number: u32, object: &[u8]) -> NewInstance {
    let uid = |text: String| Uid::parse(&text).expect("digits and dots");
    NewInstance {
        study: uid(study.to_owned()),
        series: uid(format!("{study}.1")),
        sop_instance: uid(format!("{study}.1.{number}")),
        sop_class: uid("1.2.840.10008.5.1.4.1.1.1.1".to_owned()),
        transfer_syntax: uid("1.2.840.10008.1.2.1".to_owned()),
        patient_key: String::new(),
        sha256: Sha256::digest(object).into(),
        bytes: object.to_vec().into(),
        source: "folder".to_owned(),
        header_json: "{}".to_owned(),
    }
}

/// The decision that leaves a study as it is, and a new one open.
pub(crate) fn keep() -> Decide {
    Box::new(|_| Ok(Change::default()))
}
