//! The ledger: the one durable truth. Rows in SQLite, source bytes in one pack a study, derived bytes by content.
//!
//! Invariants
//! - Nothing is answered before its bytes and its row are synced.
//! - Every state change appends to the event log in the same transaction.
//! - It does not know what a study means: decisions come in as functions of the row (`study`).
