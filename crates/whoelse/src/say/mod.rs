//! What is said, in words: what the faces of the client and the administrator's tool share.
//!
//! Texts from elsewhere become harmless in [`text`] and fit a terminal by [`fold`]; what is ours
//! stands out by [`paint`]. Persons are called by [`name`]; why something was not done is put into
//! words in [`words`], and into one word for programs in [`condition`].

pub mod certificate;
pub mod condition;
pub mod fold;
pub mod name;
pub mod paint;
pub mod private;
pub mod text;
pub mod words;
