use leasehold_scheduler::singleton_job;

const BERLIN: &str = "Europe/Berlin";

#[singleton_job("@daily", tz = BERLIN, crate = leasehold_scheduler)]
async fn a_constant() {}

#[singleton_job("@daily", retries = "3", crate = leasehold_scheduler)]
async fn a_number_as_text() {}

#[singleton_job("@daily", jitter = 30, crate = leasehold_scheduler)]
async fn a_duration_without_unit() {}

#[singleton_job("@daily", misfire = run_once, crate = leasehold_scheduler)]
async fn a_policy_without_quotes() {}

#[singleton_job("@daily", misfire("skip"), crate = leasehold_scheduler)]
async fn parentheses() {}

#[singleton_job("@daily", timeout, crate = leasehold_scheduler)]
async fn no_value() {}

#[singleton_job("@daily", aliases = "old", crate = leasehold_scheduler)]
async fn aliases_without_brackets() {}

#[singleton_job("@daily", aliases = [old], crate = leasehold_scheduler)]
async fn an_alias_without_quotes() {}

#[singleton_job("@daily" jitter = "5s", crate = leasehold_scheduler)]
async fn no_comma() {}

fn main() {}
