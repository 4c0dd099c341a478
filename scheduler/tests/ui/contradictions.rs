use leasehold_scheduler::singleton_job;

#[singleton_job("@daily", misfire = "run_all", overlap = "cancel_running", crate = leasehold_scheduler)]
async fn all_of_them_or_only_the_latest() {}

#[singleton_job("@daily", backoff = "10s", crate = leasehold_scheduler)]
async fn a_pause_before_nothing() {}

#[singleton_job("@daily", timeout = "0s", crate = leasehold_scheduler)]
async fn no_time() {}

#[singleton_job("*/5 * * * *", jitter = "5m", crate = leasehold_scheduler)]
async fn into_the_next_tick() {}

#[singleton_job("@daily", dst = "skip", crate = leasehold_scheduler)]
async fn clocks_that_never_change() {}

#[singleton_job("@daily", tz = "UTC", dst = "skip", timeout = "0s", crate = leasehold_scheduler)]
async fn two_at_once() {}

fn main() {}
