//! `bench boot`: from power-on to each stage, wall and processor time of QEMU.

use std::path::Path;
use std::time::Duration;

use rap_image::parcel::Parcel;
use rap_image::staging::stage;
use rap_qemu::console::Line;
use rap_qemu::lab::Lab;
use rap_qemu::machine::Machine;

use super::Figure;

/// Each stage, and the words on the console that say it began.
pub const STAGES: [(&str, &str); 4] = [
    ("loader", "BdsDxe: starting Boot"),
    ("kernel", "Linux version"),
    ("init", "rap init:"),
    ("ready", "rap init: ready"),
];
/// The goal of the project for the whole way, in CPU seconds under software emulation.
const READY_CPU_GOAL: f64 = 14.0;
/// How long a stage may take before the measurement counts as failed.
const PATIENCE: Duration = Duration::from_secs(180);

/// Boots the image in `directory` twice, with `parcel` on the first boot, and times the first and the second boot: the first
/// also makes the data partition's file system.
///
/// # Errors
/// When the machine cannot be built or does not get to a stage; the console is in the error.
pub fn measure(directory: &Path, parcel: &Parcel) -> anyhow::Result<Vec<Figure>> {
    let mut staged = stage(directory, Some(parcel))?;
    let lab = Lab::new(2)?;
    staged.options.cables = lab.cables();
    let accelerator = staged.options.accelerator.name();
    let mut machine = Machine::new(staged.options)?;
    let mut figures = vec![Figure::text("accelerator", accelerator, "")];
    for boot in ["first boot", "second boot"] {
        machine.power_on()?;
        for (stage, words) in STAGES {
            figures.extend(of_stage(boot, stage, &machine.wait_for(words, PATIENCE)?));
        }
        machine.power_cut()?;
    }
    Ok(figures)
}

fn of_stage(boot: &str, stage: &str, line: &Line) -> [Figure; 2] {
    let cpu = Figure::number(
        format!("{boot}: power-on to {stage}"),
        line.cpu.as_secs_f64(),
        "CPU-s",
    );
    let wall = Figure::number(format!("{boot}: power-on to {stage}"), line.at.as_secs_f64(), "s");
    [
        if stage == "ready" {
            cpu.at_most(READY_CPU_GOAL)
        } else {
            cpu
        },
        wall,
    ]
}
