//! Gates translate a protocol to the study room and the ledger's queries, and nothing more.
pub mod dimse;
pub mod grpc;
