//! Registers.

use async_trait::async_trait;
use leasehold_core::ResourceName;
use leasehold_core::protocol::{
    self, REGISTER_FORMAT, Register, RegisterReply, RegisterWrite, TooNew,
};
use leasehold_core::store::{Registers, Stamped, StoreError};

use crate::connection::Connection;
use crate::error::Failure;
use crate::schema::integer;
use crate::statements;
use crate::transaction::Transaction;
use crate::writer::Query;

struct Read(Vec<ResourceName>);

#[async_trait]
impl Query for Read {
    type Answer = Vec<Option<Register>>;
    const OPERATION: &'static str = "read";
    const WRITES: bool = false;

    async fn run(&self, tx: &mut Transaction<'_>) -> Result<Self::Answer, Failure> {
        let stored = tx.registers(&self.0).await?;
        let live = |register: &Register| register.expires_us > tx.now.wall_us;
        let registers = stored.into_iter().map(|register| register.filter(live));
        Ok(registers.collect())
    }
}

struct Write(ResourceName, RegisterWrite);

#[async_trait]
impl Query for Write {
    type Answer = RegisterReply;
    const OPERATION: &'static str = "write";

    async fn run(&self, tx: &mut Transaction<'_>) -> Result<RegisterReply, Failure> {
        let Self(name, write) = self;
        let stored = tx
            .registers(std::slice::from_ref(name))
            .await?
            .pop()
            .flatten();
        let (reply, register) = protocol::write(stored, write, tx.now);
        if let Some(register) = register {
            sqlx::query(
                "INSERT OR REPLACE INTO leasehold_register (ns, name, expires_us, register) VALUES (?, ?, ?, ?)",
            )
            .bind(tx.scope.namespace.as_str())
            .bind(name.as_str())
            .bind(integer(register.expires_us))
            .bind(encode(&register))
            .execute(&mut *tx.sql)
            .await?;
        }
        Ok(reply)
    }
}

impl Transaction<'_> {
    /// What is stored, expired or not.
    async fn registers(
        &mut self,
        names: &[ResourceName],
    ) -> Result<Vec<Option<Register>>, Failure> {
        let stored = statements::registers(self.sql, &self.scope.namespace, names).await?;
        let registers = names.iter().map(|name| {
            let bytes = stored.get(name.as_str());
            bytes.map(|bytes| decode(bytes)).transpose()
        });
        Ok(registers.collect::<Result<_, TooNew>>()?)
    }
}

/// A register's bytes: the format's version, then MessagePack.
fn encode(register: &Register) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(register.value.len() + 40);
    bytes.push(REGISTER_FORMAT);
    // Writing integers and bytes to a Vec cannot fail.
    rmp_serde::encode::write(&mut bytes, register).expect("a register has only encodable fields");
    bytes
}

fn decode(bytes: &[u8]) -> Result<Register, TooNew> {
    decode_versioned(bytes, REGISTER_FORMAT)
}

/// Reads MessagePack that follows its format's version.
pub(crate) fn decode_versioned<T: serde::de::DeserializeOwned>(
    bytes: &[u8],
    supported: u8,
) -> Result<T, TooNew> {
    match bytes.split_first() {
        Some((&found, rest)) if found == supported => {
            rmp_serde::from_slice(rest).map_err(|e| TooNew::Damaged(e.to_string()))
        }
        Some((&found, _)) => Err(TooNew::Version {
            found: char::from(found),
            supported: char::from(supported),
        }),
        None => Err(TooNew::Damaged("no bytes".into())),
    }
}

#[async_trait]
impl Registers for Connection {
    async fn read(
        &self,
        names: &[ResourceName],
    ) -> Result<Stamped<Vec<Option<Register>>>, StoreError> {
        self.ask(Read(names.to_vec())).await
    }

    async fn write(
        &self,
        name: &ResourceName,
        write: &RegisterWrite,
    ) -> Result<Stamped<RegisterReply>, StoreError> {
        self.ask(Write(name.clone(), write.clone())).await
    }
}
