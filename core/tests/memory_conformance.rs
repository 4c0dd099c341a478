//! The memory store keeps the contracts.

use leasehold_core::store::MemoryStore;

leasehold_core::conformance_tests!(MemoryStore::new());
