//! Tests of the accepting machine.
