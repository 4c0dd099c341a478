use leasehold_scheduler::singleton_job;

#[singleton_job("@daily", tz = "Europe/Berln", crate = leasehold_scheduler)]
async fn zone() {}

#[singleton_job("@daily", tz = "Europe/Berlin", dst = "twice", crate = leasehold_scheduler)]
async fn dst() {}

#[singleton_job("@daily", misfire = "run_twice", crate = leasehold_scheduler)]
async fn misfire() {}

#[singleton_job("@daily", misfire = "run_all(0s)", crate = leasehold_scheduler)]
async fn window() {}

#[singleton_job("@daily", overlap = "allow(0)", crate = leasehold_scheduler)]
async fn overlap() {}

#[singleton_job("@daily", jitter = "30", crate = leasehold_scheduler)]
async fn jitter() {}

#[singleton_job("@daily", timeout = "1 fortnight", crate = leasehold_scheduler)]
async fn timeout() {}

#[singleton_job("@daily", retries = 1000, crate = leasehold_scheduler)]
async fn retries() {}

#[singleton_job("@daily", retries = 1, backoff = "soon", crate = leasehold_scheduler)]
async fn backoff() {}

#[singleton_job("@daily", on_crash = "panic", crate = leasehold_scheduler)]
async fn on_crash() {}

#[singleton_job("@daily", only_on = "gpu,,eu", crate = leasehold_scheduler)]
async fn only_on() {}

#[singleton_job("0 25 * * *", jitter = "x", misfire = "y", crate = leasehold_scheduler)]
fn all_at_once(_: impl Sized) {}

fn main() {}
