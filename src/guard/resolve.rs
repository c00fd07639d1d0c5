//! The name service as the guarded clients see it: names with a closed address have none.
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::{Guard, Reach};

/// The edge to the name service.
pub trait Lookup: Send + Sync + std::fmt::Debug {
    /// All addresses of a name.
    fn lookup(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// What the operating system answers.
#[derive(Debug)]
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.map(|a| a.ip()).collect()) })
    }
}

/// The filter, inside the connector: what it passes on is what is dialled, so a name that answers differently the next
/// time (rebinding) gains nothing.
///
/// It is not asked for addresses in numbers: [`Guard::gate`] refuses those.
#[derive(Debug, Clone)]
pub struct Resolver {
    guard: Guard,
    reach: Reach,
    lookup: Arc<dyn Lookup>,
}

impl Resolver {
    /// A filter for one reach.
    pub fn new(guard: Guard, reach: Reach, lookup: Arc<dyn Lookup>) -> Self {
        Self { guard, reach, lookup }
    }

    async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, Box<dyn std::error::Error + Send + Sync>> {
        let addresses = self.lookup.lookup(name.to_owned()).await?;
        self.guard.judge(name, &addresses, self.reach)?;
        Ok(addresses)
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let this = self.clone();
        Box::pin(async move {
            let addresses = this.addresses(name.as_str()).await?;
            // Port 0 leaves the choice of the port to the URL, which was gated.
            Ok(Box::new(addresses.into_iter().map(|ip| SocketAddr::new(ip, 0))) as Addrs)
        })
    }
}
