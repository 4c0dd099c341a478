use leasehold_scheduler::jobs;

async fn tick() {}

fn main() {
    let _ = jobs![tick];
}
