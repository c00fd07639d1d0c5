//! The list of settings, once: the parser knows no others, the manual names them all, and the example shows them.

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Where it stands: `hold.window`, `source.every`.
    pub path: &'static str,
    /// As it would be written; empty: it has none and may be left out; `required`.
    pub default: &'static str,
}

const fn setting(path: &'static str, default: &'static str) -> Setting {
    Setting { path, default }
}

/// Every setting this version reads.
pub const SETTINGS: &[Setting] = &[
    setting("service.state", "$XDG_STATE_HOME/oyez"),
    setting("service.listen", "\"127.0.0.1:8080\""),
    setting("service.socket", "oyez.sock inside state"),
    setting("service.base-url", ""),
    setting("service.contact", ""),
    setting("service.time-zone", "\"UTC\""),
    setting("network.allow-private", "[]"),
    setting("network.timeout", "\"20s\""),
    setting("source.name", "required"),
    setting("source.was", ""),
    setting("source.type", "required"),
    setting("source.url", "required"),
    setting("source.kind", "\"announcement\""),
    setting("source.every", "\"3m\" for discourse, \"15m\" for feed and peertube, \"30m\" for media-ccc-de"),
    setting("source.backfill", "\"0s\""),
    setting("source.enabled", "true"),
    setting("source.mark", ""),
    setting("source.category", "required for discourse"),
    setting("source.subcategories", "false"),
    setting("source.webhook-secret", ""),
    setting("source.api-key", ""),
    setting("source.api-user", ""),
    setting("source.conferences", "required for media-ccc-de"),
    setting("source.channel", "required for peertube"),
    setting("hold.window", "\"24h\""),
    setting("hold.settle", "\"30m\""),
    setting("hold.settle-at-most", "\"3h\""),
    setting("hold.grace", "\"1h\""),
    setting("hold.quiet-hours", "{ from = \"22:00\", to = \"08:00\" }"),
    setting("hold.spacing", "\"2h\""),
    setting("hold.at-most", "\"3/1d\""),
    setting("hold.priority", "1"),
    setting("hold.ask-expires", "\"7d\""),
    setting("hold.stale", "\"5d\""),
    setting("delivery.give-up", "\"2d\""),
    setting("delivery.quiet-after", "\"9d\""),
    setting("account.name", "required"),
    setting("account.was", ""),
    setting("account.platform", "required"),
    setting("account.kinds", "all"),
    setting("account.hashtags", "[]"),
    setting("account.language", ""),
    setting("account.enabled", "true"),
    setting("account.hold", ""),
    setting("account.server", "required for mastodon"),
    setting("account.token", "required for mastodon"),
    setting("account.visibility", "\"public\""),
    setting("account.path", "required for file"),
    setting("account.limit", "500"),
    setting("links.expand", "true"),
    setting("links.rules", "[]"),
    setting("links.mirrors", "[\"media-ccc-de\", \"peertube\"]"),
    setting("links.archive-org", "\"https://archive.org\""),
    setting("links.wait-for-mirror", "\"3d\""),
    setting("links.keep", "[]"),
    setting("templates.dir", ""),
    setting("policy.when", "required"),
    setting("policy.then", "required"),
    setting("policy.because", ""),
];

/// Names that the written design gives to settings which a later version reads: an unknown key like any other, but the
/// message can say so.
pub const LATER: &[&str] = &[
    "team",
    "matrix",
    "mail",
    "notice",
    "rota",
    "service.trusted-proxies",
    "source.reply",
    "account.handle",
    "account.app-password",
    "account.consumer-key",
    "account.consumer-secret",
    "account.access-token",
    "account.access-secret",
    "account.client-id",
    "account.budget",
    "account.organization",
    "account.api-version",
    "account.homeserver",
    "account.room",
    "account.secret",
    "account.url",
    "account.to",
];

/// Platforms that a later version speaks.
pub const LATER_PLATFORMS: &[&str] = &["bluesky", "x", "linkedin", "matrix", "webhook", "hand-over"];
