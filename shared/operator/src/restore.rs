//! `restore`: copies lost items into the ledger from a table that DynamoDB restored from its backups.

use std::io::Write;

use ledger::Restored;

use crate::{Clock, ExitStatus, OperatorError, Stack};

/// Copies the items of the restored table that the ledger does not have, and reports how many. A repeat copies the
/// rest.
///
/// # Errors
/// When a table cannot be read or written. Some items may have been copied by then.
pub async fn run(
    stack: &Stack,
    table: &str,
    clock: &impl Clock,
    out: &mut impl Write,
) -> Result<ExitStatus, OperatorError> {
    let restored = stack.ledger.restore_from(table, clock.now()).await?;
    out.write_all(report(&restored).as_bytes())?;
    Ok(ExitStatus::Done)
}

fn report(restored: &Restored) -> String {
    let Restored { copied, present, left_out, links, invitations } = restored;
    let mut text = format!(
        "{copied} items copied into the ledger. {present} were present and are unchanged. {left_out} have expired or are \
         one-time codes, and were left out.\n"
    );
    if *links > 0 {
        text += &format!(
            "{links} login links were restored as used, because they may have been used since the backup: their pages \
             mail a fresh link.\n"
        );
    }
    if *invitations > 0 {
        text += &format!(
            "{invitations} invitations had not ended when the backup was made and may have ended since. If one is \
             attempted again, it becomes a dead letter with the cause mail-unknown: see `dead-letters list`.\n"
        );
    }
    text + "Persons who were forgotten after the backup was made are restored: forget them again.\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_explains_what_did_not_come_back_as_it_was() {
        let plain = Restored { copied: 3, present: 2, left_out: 1, ..Restored::default() };
        let lines = |restored| report(&restored).lines().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(lines(plain).len(), 2);
        assert!(lines(plain)[0].starts_with("3 items copied into the ledger. 2 were present"), "{}", report(&plain));
        let changed = lines(Restored { links: 4, invitations: 5, ..plain });
        assert!(changed[1].starts_with("4 login links were restored as used"), "{changed:?}");
        assert!(changed[2].starts_with("5 invitations had not ended"), "{changed:?}");
    }
}
