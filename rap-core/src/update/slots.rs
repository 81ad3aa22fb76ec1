//! What is in the slots, and writing, arming, confirming and mending them.
