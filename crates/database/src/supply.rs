//! Where the program of a server comes from that all apps share: this machine, or a vendor's image.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::{ContainerId, ContainerSpec, LayerRef, Limits};
use image::registry::{Freshness, Progress, Reference};

use crate::service::{Images, Service};
use crate::{DatabaseError, Result, job};

/// How often the log says how far a pull is.
const SAY: Duration = Duration::from_secs(5);

/// Where a program comes from.
#[derive(Debug)]
pub(crate) enum Supply {
    /// It is this machine's.
    Machine(PathBuf),
    /// It is an image's.
    Image {
        /// Who has images.
        images: Arc<Images>,
        /// Which.
        reference: Reference,
        /// The program in it: a path, or a name that is looked for in the image's own `PATH`. Its start script is not run.
        program: &'static str,
    },
}

/// A program that is here. As long as this lives, its image stays.
#[derive(Debug, Clone)]
pub(crate) struct Supplied {
    /// The root file system.
    pub(crate) layer: LayerRef,
    /// The program, as the first argument.
    pub(crate) program: String,
    /// Its variables, `PATH` among them.
    pub(crate) env: Vec<(String, String)>,
    /// The image, kept from garbage collection.
    _service: Option<Service>,
}

impl Supply {
    /// A program of an image, by the image's name in the setting `key`. From now on what the name means here is kept.
    ///
    /// # Errors
    /// [`DatabaseError::Refused`] where that is no name of an image, [`DatabaseError::Unavailable`] where no images can be had.
    pub(crate) fn image(images: Option<&Arc<Images>>, name: &str, program: &'static str, key: &str) -> Result<Self> {
        let reference = Reference::parse(name).map_err(|error| DatabaseError::Refused(format!("{key}: {error}")))?;
        let images = images.ok_or_else(|| DatabaseError::Unavailable {
            what: format!("{key}: no images can be had here"),
            help: "name an existing server, or a program of the machine".to_owned(),
        })?;
        images.keep(&reference);
        Ok(Self::Image { images: Arc::clone(images), reference, program })
    }

    /// Whether the machine's program is there. Whether an image can be had is found out when it is needed.
    pub(crate) fn available(&self, help: &str) -> Result<()> {
        match self {
            Self::Machine(program) if !program.is_file() => {
                Err(DatabaseError::Unavailable { what: format!("{} is not there", program.display()), help: help.to_owned() })
            }
            _ => Ok(()),
        }
    }

    /// Has the program here: an image is pulled where it is not here yet, and the log says how far that is. One that is here is taken
    /// as it is, whether its registry answers or not. `user` is who runs it inside.
    pub(crate) async fn get(&self, user: u16) -> Result<Supplied> {
        let (images, reference, program) = match self {
            Self::Machine(program) => return Ok(Supplied::of_machine(program)),
            Self::Image { images, reference, program } => (images, reference, *program),
        };
        let progress = Arc::new(Progress::default());
        let begun = Instant::now();
        let missing = images.held(reference)?.is_none();
        if missing {
            tracing::info!(image = %reference, "pull the image of a database server");
        }
        // By a thread of its own: who waits for it may go away, and it is fetched to its end. (A pull's future has asynchronous closures,
        // of which the compiler can't see that any thread may go on with them.)
        let runtime = tokio::runtime::Handle::current();
        let (images, name, told, user) = (Arc::clone(images), reference.clone(), Arc::clone(&progress), user.to_string());
        let mut pull =
            tokio::task::spawn_blocking(move || runtime.block_on(images.service(&name, Freshness::Kept, Some(&user), &told)));
        let mut ticks = tokio::time::interval(SAY);
        ticks.tick().await;
        let serviced = loop {
            tokio::select! {
                serviced = &mut pull => break serviced.map_err(|error| DatabaseError::Failed(error.to_string()))?,
                _tick = ticks.tick() => {
                    let (done, total) = progress.bytes();
                    tracing::info!(image = %reference, megabytes = done >> 20, of = total >> 20, "the image is on its way");
                }
            }
        };
        let service =
            serviced.inspect_err(|error| tracing::error!(image = %reference, %error, "have the image of a database server"))?;
        if missing {
            tracing::info!(image = %reference, took = ?begun.elapsed(), "the image of a database server is here");
        }
        Ok(Supplied {
            layer: LayerRef::Layer(service.layer.clone()),
            program: program.to_owned(),
            env: service.run.env.clone(),
            _service: Some(service),
        })
    }
}

impl Supplied {
    /// A container that runs the program, as `user`, at an address that stays; without mounts.
    pub(crate) fn server(&self, id: ContainerId, slot: u16, user: u16, limits: Limits) -> ContainerSpec {
        ContainerSpec {
            layers: vec![self.layer.clone()],
            env: self.env.clone(),
            keeps_address: true,
            ..job::tools(id, slot, user, limits, vec![self.program.clone()])
        }
    }

    fn of_machine(program: &Path) -> Self {
        Self {
            layer: LayerRef::Machine,
            program: program.to_string_lossy().into_owned(),
            env: job::machine_env(),
            _service: None,
        }
    }
}
