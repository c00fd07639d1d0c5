//! (being written)
pub async fn run(_speed: f64, _stay: bool, _json: bool) -> anyhow::Result<()> {
    Ok(())
}
