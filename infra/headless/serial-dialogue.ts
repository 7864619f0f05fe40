/** Talks to a guest's shell over its serial line, as a person would, and knows where a command's output begins and ends. */

/** Control sequences of terminals (ECMA-48 §5.4) and the single shifts that shells print around prompts. */
// oxlint-disable-next-line no-control-regex
const CONTROL = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07]*\x07|[@-_()][0-9A-Za-z]?)|\r|\x07/g;

/** The beginning of one, at the end of what has come. */
// oxlint-disable-next-line no-control-regex
const CUT_CONTROL = /\x1b(?:\[[0-?]*[ -/]*)?$/;

/** A prompt of root or of somebody else at the end of what was said; a machine's definition may name its own. */
const ANY_PROMPT = /[#$] ?$/;

export interface CommandResult {
  readonly output: string;
  readonly exitCode: number;
}

/** Waits for what matches in the text that comes in; the text is plain, without control sequences. */
export class SerialDialogue {
  readonly #send: (bytes: Uint8Array) => void;
  readonly #decoder = new TextDecoder();
  #raw = "";
  #text = "";
  #waiters: { readonly pattern: RegExp; readonly resolve: (match: RegExpExecArray) => void }[] = [];
  #marks = 0;

  constructor(send: (bytes: Uint8Array) => void) {
    this.#send = send;
  }

  /** Everything that was said. */
  get transcript(): string {
    return this.#text;
  }

  hear(bytes: Uint8Array): void {
    this.#raw += this.#decoder.decode(bytes, { stream: true });
    // A control sequence may be cut by the end of these bytes: it waits for the rest.
    const cut = CUT_CONTROL.exec(this.#raw)?.index ?? this.#raw.length;
    this.#text += this.#raw.slice(0, cut).replaceAll(CONTROL, "");
    this.#raw = this.#raw.slice(cut);
    this.#look();
  }

  type(line: string): void {
    this.#send(new TextEncoder().encode(`${line}\n`));
  }

  /** Resolves when what was said matches. */
  heard(pattern: RegExp): Promise<RegExpExecArray> {
    return new Promise((resolve) => {
      this.#waiters.push({ pattern, resolve });
      this.#look();
    });
  }

  async prompt(ready?: string): Promise<void> {
    await this.heard(ready ? new RegExp(escaped(ready.trimEnd())) : ANY_PROMPT);
  }

  /**
   * Runs a command in a subshell and answers what it printed. The marks around it are put together by the guest's printf,
   * so that the echo of the typed line does not match; base64 keeps every character from the guest's line editor.
   */
  async run(command: string): Promise<CommandResult> {
    const mark = `${(this.#marks += 1)}-${this.#text.length}`;
    const encoded = Buffer.from(command).toString("base64");
    this.type(
      ` printf '\\n%s%s\\n' vir ga-${mark}; (eval "$(echo ${encoded} | base64 -d)"); printf '\\n%s%s %d\\n' end- virga-${mark} $?`,
    );
    const pattern = new RegExp(`\\nvirga-${mark}\\n([\\s\\S]*?)\\n?\\nend-virga-${mark} (\\d+)\\n`);
    const [, output = "", exitCode = "0"] = await this.heard(pattern);
    return { output, exitCode: Number(exitCode) };
  }

  #look(): void {
    this.#waiters = this.#waiters.filter(({ pattern, resolve }) => {
      const match = pattern.exec(this.#text);
      if (match) resolve(match);
      return !match;
    });
  }
}

const escaped = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
