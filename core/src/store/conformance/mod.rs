//! The conformance suite: what every store promises, one function a promise.
//!
//! A store's test file is one line; each case opens its own sessions in a namespace of its own, so that they run in
//! parallel against one server.
//!
//! ```no_run
//! use leasehold_core::store::MemoryStore;
//! leasehold_core::conformance_tests!(MemoryStore::new());
//! ```
//!
//! A case that a store's [`Capabilities`](super::Capabilities) exclude passes without looking.
#![allow(
    clippy::missing_panics_doc,
    reason = "a broken promise panics: that is what these functions are for"
)]

pub mod contention;
mod context;
pub mod expiry;
pub mod fences;
pub mod grants;
pub mod lists;
pub mod members;
pub mod names;
pub mod queue;
pub mod quotas;
pub mod registers;
pub mod requests;
pub mod revoke;
pub mod reweigh;
pub mod weights;

pub use context::{Context, Grant, Opened};

/// Makes a `#[tokio::test]` of every case of the conformance suite.
///
/// The expression is evaluated once a case and becomes a [`Context`](crate::store::conformance::Context): a
/// [`Connector`](crate::store::Connector) (with the system's time), or a `Context` that says more.
///
/// ```no_run
/// use leasehold_core::Env;
/// use leasehold_core::store::MemoryStore;
/// use leasehold_core::store::conformance::Context;
/// use std::sync::Arc;
///
/// leasehold_core::conformance_tests!({
///     let guard = "a folder or a server that must live as long as the case";
///     Context::new(Arc::new(MemoryStore::new()), Env::system()).keeping(guard)
/// });
/// ```
#[macro_export]
macro_rules! conformance_tests {
    ($connector:expr) => {
        $crate::__conformance_cases! { ($connector)
            grants: a_free_resource_is_granted_at_once_with_its_full_ttl,
            grants: a_busy_try_names_the_holder_and_what_remains,
            grants: an_inspection_shows_holder_and_queue_and_changes_nothing,
            grants: a_batch_of_one_bucket_is_applied_and_answered_in_order,
            grants: a_name_freed_leaves_no_record,
            fences: fences_rise_over_a_release,
            fences: fences_rise_over_an_expiry,
            fences: fences_rise_above_all_that_the_client_has_seen,
            fences: a_block_is_not_handed_out_again_beyond_what_was_used,
            fences: a_new_record_starts_above_the_floor_of_its_bucket,
            fences: floors_are_the_buckets_own,
            requests: a_repeated_acquire_gets_the_same_answer,
            requests: a_repeated_release_changes_nothing,
            requests: a_late_copy_of_a_closed_request_is_refused,
            requests: a_closed_request_does_not_close_others,
            requests: a_request_past_its_deadline_does_nothing,
            queue: waiters_are_granted_in_the_order_they_came,
            queue: a_release_grants_the_next_waiter_in_the_same_step,
            queue: a_release_pushes_the_grant_to_another_session,
            queue: a_push_reaches_every_session_of_the_waiting_node,
            queue: a_try_does_not_overtake_the_queue,
            queue: an_unclaimed_grant_passes_on_and_its_waiter_keeps_its_place,
            queue: a_cancelled_waiter_is_passed_over,
            queue: a_cancel_of_a_granted_waiter_hands_over,
            queue: a_holder_hears_that_someone_waits,
            weights: holders_share_a_capacity_and_never_exceed_it,
            weights: the_head_of_the_queue_blocks_smaller_ones_behind_it,
            weights: all_of_it_waits_for_everybody_and_keeps_everybody_out,
            weights: the_capacity_of_the_highest_revision_counts,
            weights: what_can_never_fit_is_told_so,
            weights: a_capacity_that_rises_serves_those_who_wait,
            weights: the_expiry_of_a_large_one_serves_all_who_fit,
            reweigh: a_weight_changes_in_place,
            reweigh: a_repeated_change_of_weight_counts_once,
            reweigh: what_shrinks_serves_those_who_wait,
            reweigh: an_entry_absorbs_another_of_its_client,
            reweigh: what_is_absorbed_is_had_whatever_is_asked_for,
            reweigh: only_what_holds_is_absorbed,
            reweigh: a_change_of_weight_lets_leases_end,
            reweigh: a_change_of_weight_announces_the_capacity,
            reweigh: a_capacity_that_falls_drains,
            reweigh: who_became_too_heavy_blocks_nobody,
            revoke: a_revoked_holder_is_told_and_renewed_no_more,
            revoke: a_revocation_is_of_one_holder,
            lists: a_listing_finds_all_that_begin_with_a_prefix,
            expiry: an_expired_lease_is_free_to_the_next_caller,
            expiry: a_waiter_is_granted_after_expiry_when_anyone_calls,
            expiry: a_renewal_extends_the_lease,
            expiry: an_older_renewal_changes_nothing,
            expiry: a_renewal_after_expiry_is_not_held,
            expiry: a_renewal_claims_the_full_ttl_of_a_pushed_grant,
            registers: an_absent_register_is_created_once,
            registers: a_write_at_the_wrong_version_returns_what_is_there,
            registers: an_unconditional_write_always_wins,
            registers: an_older_fence_is_refused_and_an_equal_one_accepted,
            registers: an_expired_register_is_absent_and_its_version_does_not_come_back,
            registers: values_are_bytes,
            registers: a_batch_is_read_in_order,
            registers: one_of_many_writers_at_a_version_wins,
            quotas: a_burst_passes_and_not_one_unit_more,
            quotas: what_was_used_comes_back_at_its_rate,
            quotas: several_keys_are_charged_all_or_none,
            quotas: who_can_do_with_less_takes_what_there_is,
            quotas: charges_ahead_stand_in_turn,
            quotas: a_charge_is_settled_once,
            quotas: a_late_settlement_gives_nothing_back,
            quotas: a_stale_charge_does_nothing,
            quotas: the_quota_announced_last_counts,
            quotas: a_charge_and_a_lease_are_taken_together_or_not_at_all,
            quotas: calls_on_quotas_are_applied_in_order,
            quotas: a_key_is_forgotten_once_all_of_its_burst_is_there,
            quotas: one_key_is_never_charged_beyond_its_quota,
            members: a_member_is_listed_from_its_first_beat,
            members: a_beat_renews_and_updates,
            members: a_member_without_beats_expires,
            members: a_node_that_leaves_is_gone_at_once,
            members: sessions_agree_on_the_incarnation,
            names: any_name_is_carried_whole,
            names: namespaces_never_meet,
            names: a_lease_and_a_register_of_one_name_do_not_meet,
            contention: one_holder_at_a_time_and_fences_rise,
            contention: concurrent_waiters_are_all_served,
        }
    };
}

/// The machinery of [`conformance_tests!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_cases {
    (($connector:expr) $($group:ident: $case:ident,)*) => {
        $(
            #[tokio::test]
            async fn $case() {
                let context = $crate::store::conformance::Context::from($connector);
                $crate::store::conformance::$group::$case(&context).await;
            }
        )*
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_macro_lists_every_case() {
        let listed = include_str!("mod.rs");
        for (group, text) in [
            ("contention", include_str!("contention.rs")),
            ("expiry", include_str!("expiry.rs")),
            ("fences", include_str!("fences.rs")),
            ("grants", include_str!("grants.rs")),
            ("lists", include_str!("lists.rs")),
            ("members", include_str!("members.rs")),
            ("names", include_str!("names.rs")),
            ("queue", include_str!("queue.rs")),
            ("quotas", include_str!("quotas.rs")),
            ("registers", include_str!("registers.rs")),
            ("requests", include_str!("requests.rs")),
            ("revoke", include_str!("revoke.rs")),
            ("reweigh", include_str!("reweigh.rs")),
            ("weights", include_str!("weights.rs")),
        ] {
            for case in text.split("\npub async fn ").skip(1) {
                let case = case.split('(').next().unwrap_or_default();
                let line = format!("{group}: {case},");
                assert!(listed.contains(&line), "not listed: {line}");
            }
        }
    }
}
