#![allow(unused)]

use leasehold::{Coordinator, Error};
use leasehold_macros::locked;

struct Service {
    name: String,
}

impl Service {
    #[locked("service/7", coord = self.name)]
    async fn another_type(&self) -> Result<(), Error> {
        Ok(())
    }
}

fn main() {}
