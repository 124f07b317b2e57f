//! Dialogues and properties of the stack.
