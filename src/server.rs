//! Composition: builds the rooms, starts and stops them.
