import type { Outcome } from "#protocol/failure";

/** The value of an outcome that the test expects to be good. */
export function valueOf<T>(outcome: Outcome<T>): T {
  if (!outcome.ok) throw new Error(`a failure came instead of a value: ${JSON.stringify(outcome.failure)}`);
  return outcome.value;
}
