"""The process inside a member's zone: mirror, witness, guard, runner, vault."""
