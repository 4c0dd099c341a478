use leasehold_scheduler::singleton_job;

#[singleton_job("@daily", name = "")]
async fn empty() {}

#[singleton_job("@daily", name = "two\nlines")]
async fn control_character() {}

#[singleton_job("@daily", name = "one", name = "two")]
async fn twice() {}

fn main() {}
