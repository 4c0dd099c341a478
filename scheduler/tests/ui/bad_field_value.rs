use leasehold_scheduler::singleton_job;

#[singleton_job("61 * * * *", crate = leasehold_scheduler)]
async fn tick() {}

fn main() {
    // No second error here.
    let _ = leasehold_scheduler::jobs![tick];
}
