//! The wording shared by the client's interfaces and the administrator's tool.
//!
//! [`text`] makes texts from elsewhere harmless, [`fold`] fits them to a terminal, and [`paint`]
//! makes ours stand out. [`name`] has the names of people, [`words`] the reasons in words, and
//! [`condition`] the reasons as one word for programs.

pub mod certificate;
pub mod condition;
pub mod fold;
pub mod name;
pub mod paint;
pub mod private;
pub mod room;
pub mod text;
pub mod words;
