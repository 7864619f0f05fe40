/** A suite of other people's tests: what its runner takes and answers. */

export interface SuiteResult {
  readonly name: string;
  readonly passed: number;
  readonly failed: number;
  /** Tests of what the processor does not claim, or that silicon fails too; `reasons` says which. */
  readonly notApplicable: number;
  /** Tests that could not be run here. */
  readonly skipped: number;
  /** Name and what was wrong, for each that failed. */
  readonly failures: readonly string[];
  /** Where the tests came from: repository and commit, package and version, or the seed. */
  readonly origin: string;
  /** Why tests were not applicable or skipped, with their names where these are few; and which passed, where that is asked. */
  readonly reasons: readonly string[];
}

export interface Suite {
  readonly name: string;
  readonly origin: string;
  /** What `--dir` names, in one line. */
  readonly folder: string;
  /** `folder` is where the suite lies, undefined where nothing was named; `note` hears how far a long suite has come. */
  run(folder: string | undefined, note?: (text: string) => void): Promise<SuiteResult> | SuiteResult;
}

/** Collects results one by one. */
export class Tally {
  #passed = 0;
  readonly #failures: string[] = [];
  readonly #idle = new Map<string, string[]>();
  readonly #shown = new Map<string, string[]>();
  #skipped = 0;
  readonly #skips: string[] = [];

  /** The same for one that is worth naming when it passes, with others on the same processor model. */
  judgeOn(model: string, name: string, differences: readonly string[]): void {
    this.judge(`${model}: ${name}`, differences);
    if (differences.length === 0) this.#shown.set(model, [...(this.#shown.get(model) ?? []), name]);
  }
  pass(): void {
    this.#passed++;
  }
  fail(name: string, what: string): void {
    this.#failures.push(`${name}: ${what}`);
  }
  /** The empty list of differences is a pass. */
  judge(name: string, differences: readonly string[]): void {
    if (differences.length === 0) this.pass();
    else this.fail(name, differences.slice(0, 4).join("; "));
  }
  notApplicable(name: string, reason: string): void {
    this.#idle.set(reason, [...(this.#idle.get(reason) ?? []), name]);
  }
  skip(reason: string, count = 1): void {
    this.#skipped += count;
    this.#skips.push(reason);
  }

  result({ name, origin }: { readonly name: string; readonly origin: string }): SuiteResult {
    const idle = [...this.#idle];
    return {
      name,
      passed: this.#passed,
      failed: this.#failures.length,
      notApplicable: idle.reduce((sum, [, names]) => sum + names.length, 0),
      skipped: this.#skipped,
      failures: this.#failures,
      origin,
      reasons: [
        ...[...this.#shown].map(([model, names]) => `passed on ${model}: ${names.join("; ")}`),
        ...idle.map(
          ([reason, names]) =>
            `${names.length} not applicable, ${reason}${names.length <= 20 ? `: ${names.join(", ")}` : ""}`,
        ),
        ...this.#skips.map((reason) => `skipped: ${reason}`),
      ],
    };
  }
}
