//! The places that are protected, and a write to each: the same code in the tests and in the process they stop.

use anyhow::{Context, bail};
use leasehold::fencing::{
    Fenced, check_rows, check_stored,
    http::{FencingToken, HEADER},
    redis::{KEEP_MS, SET, fence_key},
    sql::{Dialect, FenceColumn, FenceTable, Parameter, Statement},
};
use leasehold::{Coordinator, Fence, Put, RegisterReply};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What the mutex `m/1` is for, and so is each of the places.
pub(crate) const RESOURCE: &str = "m/1";
const KEY: &str = "balance:{1}";

/// Each in one word, since it is an argument of the stopped process.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// A row with a fence column, in this file.
    Column(String),
    /// Two rows without one, and a fence table, in this file.
    Table(String),
    /// A key of this server.
    Redis(String),
    /// A service at this address.
    Http(String),
    /// A register beside the mutex.
    Register,
}

impl Place {
    #[allow(dead_code, reason = "only the tests say it")]
    pub(crate) fn word(&self) -> String {
        match self {
            Place::Column(path) => format!("column={path}"),
            Place::Table(path) => format!("table={path}"),
            Place::Redis(url) => format!("redis={url}"),
            Place::Http(address) => format!("http={address}"),
            Place::Register => "register=".into(),
        }
    }

    #[allow(dead_code, reason = "only the stopped process reads it")]
    pub(crate) fn parse(word: &str) -> anyhow::Result<Self> {
        let (kind, at) = word.split_once('=').context("a place is KIND=ADDRESS")?;
        let at = at.to_owned();
        Ok(match kind {
            "column" => Place::Column(at),
            "table" => Place::Table(at),
            "redis" => Place::Redis(at),
            "http" => Place::Http(at),
            "register" => Place::Register,
            other => bail!("unknown place `{other}`"),
        })
    }

    /// What a program does that trusts its lock: it asks nobody whether it is still held.
    pub(crate) async fn write(
        &self,
        coord: &Coordinator,
        fence: Fence,
        value: &str,
    ) -> anyhow::Result<Result<(), Fenced>> {
        match self {
            Place::Column(path) => column(path, fence, value).await,
            Place::Table(path) => table(path, fence, value).await,
            Place::Redis(url) => redis(url, fence, value).await,
            Place::Http(address) => http(address, fence, value).await,
            Place::Register => {
                let put = Put::new(value).fenced(fence);
                match coord.register("balance")?.put(&put).await? {
                    RegisterReply::Written { .. } => Ok(Ok(())),
                    RegisterReply::Fenced { stored } => {
                        Ok(Err(Fenced::new("balance", fence, Some(stored))))
                    }
                    RegisterReply::Conflict(_) => bail!("nothing was expected"),
                }
            }
        }
    }
}

pub(crate) async fn open(path: &str) -> sqlx::Result<SqliteConnection> {
    SqliteConnection::connect(&format!("sqlite:{path}?mode=rwc")).await
}

/// Binds one value, the fence and the key 1 (or the resource), and runs it.
pub(crate) async fn run(
    to: &mut SqliteConnection,
    statement: &Statement,
    values: &[&str],
    fence: Fence,
    key: &str,
) -> sqlx::Result<u64> {
    let mut query = sqlx::query(AssertSqlSafe(statement.sql()));
    for parameter in statement.parameters() {
        query = match parameter {
            Parameter::Value(at) => query.bind(values[*at]),
            Parameter::Fence => query.bind(fence.as_i64()),
            Parameter::Key(_) => query.bind(key),
        };
    }
    Ok(query.execute(to).await?.rows_affected())
}

async fn column(path: &str, fence: Fence, value: &str) -> anyhow::Result<Result<(), Fenced>> {
    let balances = FenceColumn::new(Dialect::Sqlite, "balance", &["id"])?;
    let mut file = open(path).await?;
    let upsert = balances.upsert(&["amount"])?;
    let rows = run(&mut file, &upsert, &[value], fence, "1").await?;
    file.close().await?;
    Ok(check_rows(rows, RESOURCE, fence))
}

async fn table(path: &str, fence: Fence, value: &str) -> anyhow::Result<Result<(), Fenced>> {
    let fences = FenceTable::new(Dialect::Sqlite, "fences")?;
    let mut file = open(path).await?;
    let mut transaction = file.begin_with("BEGIN IMMEDIATE").await?;
    let rows = run(&mut transaction, fences.advance(), &[], fence, RESOURCE).await?;
    if let Err(fenced) = check_rows(rows, RESOURCE, fence) {
        transaction.rollback().await?;
        return Ok(Err(fenced));
    }
    for id in ["1", "2"] {
        let write = "INSERT INTO plain (id, amount) VALUES (?1, ?2)
            ON CONFLICT (id) DO UPDATE SET amount = excluded.amount";
        let write = sqlx::query(write).bind(id).bind(value);
        write.execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(Ok(()))
}

async fn redis(url: &str, fence: Fence, value: &str) -> anyhow::Result<Result<(), Fenced>> {
    let client = ::redis::Client::open(url)?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let stored: u64 = ::redis::Script::new(SET)
        .key(fence_key(KEY)?)
        .key(KEY)
        .arg(fence.get())
        .arg(KEEP_MS)
        .arg(value)
        .arg(60_000)
        .invoke_async(&mut connection)
        .await?;
    Ok(check_stored(stored, RESOURCE, fence))
}

async fn http(address: &str, fence: Fence, value: &str) -> anyhow::Result<Result<(), Fenced>> {
    let token = FencingToken::new(RESOURCE, fence)?;
    let length = value.len();
    let request = format!(
        "PUT /{RESOURCE} HTTP/1.1\r\nHost: {address}\r\n{HEADER}: {token}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{value}"
    );
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let status = answer.split(' ').nth(1).context("a status line")?;
    let stored = answer
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{HEADER}: ")))
        .map(str::parse::<FencingToken>)
        .transpose()?;
    match (status, stored) {
        ("204", None) => Ok(Ok(())),
        ("412", Some(stored)) => Ok(Err(Fenced::new(RESOURCE, fence, Some(stored.fence())))),
        _ => bail!("{answer}"),
    }
}
