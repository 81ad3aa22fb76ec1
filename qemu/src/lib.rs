//! Starts the image in QEMU and gives tests a lab of real hosts around it.
