//! Times that cannot overflow.
pub(super) use crate::hold::later;
