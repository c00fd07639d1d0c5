//! What is wrong with a configuration, all of it at once, each with its line and a way out.
use std::fmt;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The setting as a path, `source[0].every`; empty when the file as a whole is wrong.
    pub key: String,
    /// 1-based line, where it has one.
    pub line: Option<usize>,
    /// Lower case, no full stop.
    pub message: String,
    /// A way out.
    pub hint: Option<String>,
}

/// Every mistake of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    /// The file as it was named.
    pub file: String,
    /// In the order of the file.
    pub errors: Vec<ConfigError>,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.errors.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "cannot read ")?;
            if !error.key.is_empty() {
                write!(f, "`{}` in ", error.key)?;
            }
            write!(f, "`{}`", self.file)?;
            if let Some(line) = error.line {
                write!(f, " line {line}")?;
            }
            write!(f, ": {}", error.message)?;
            if let Some(hint) = &error.hint {
                write!(f, "\nhint: {hint}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
