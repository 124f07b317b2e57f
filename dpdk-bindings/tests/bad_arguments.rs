//! Arguments that the EAL does not know are an error with these arguments in it, not an exit of the process.
//! One test, for the EAL can be started once per process.

use dpdk_bindings::{Eal, EalConfig, Error, Memory};

#[test]
fn bad_arguments() {
    let mut config = EalConfig::new("bad_arguments", Memory::NoHuge { megabytes: 32 });
    config.extra = vec!["--no-such-argument".into()];
    let Err(error) = Eal::start(&config) else { panic!("started") };
    println!("{error}");
    assert!(
        matches!(&error, Error::EalStart { arguments, .. } if arguments.contains("--no-such-argument")),
        "{error}"
    );
    assert!(matches!(Eal::start(&config), Err(Error::EalStartedBefore)));
}
