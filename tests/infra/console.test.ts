import { describe, expect, test } from "vitest";
import { EscapeKeys } from "../../infra/cli/terminal.ts";
import { SerialDialogue } from "../../infra/headless/serial-dialogue.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("the keys of a terminal", () => {
  const press = (...keys: string[]) => {
    const escape = new EscapeKeys();
    const actions = keys.map((key) => escape.hear(bytes(key)));
    const sent = actions.map(({ send }) => new TextDecoder().decode(send)).join("");
    return { sent, quit: actions.some(({ quit }) => quit) };
  };

  test("go to the guest, Ctrl-C too", () =>
    expect(press("ls\n", "\x03")).toEqual({ sent: "ls\n\x03", quit: false }));
  test("Ctrl-] quits after what was typed before it", () =>
    expect(press("ab\x1dcd")).toEqual({ sent: "ab", quit: true }));
  test("Ctrl-A x quits, also in two pieces", () => {
    expect(press("a\x01x")).toEqual({ sent: "a", quit: true });
    expect(press("a\x01", "x")).toEqual({ sent: "a", quit: true });
  });
  test("Ctrl-A twice is one, Ctrl-A and another key are both", () => {
    expect(press("\x01\x01")).toEqual({ sent: "\x01", quit: false });
    expect(press("\x01b")).toEqual({ sent: "\x01b", quit: false });
  });
});

/** A shell that echoes what is typed and answers a run command as printf and the command would. */
function shell(output: string, exitCode: number) {
  const typed: string[] = [];
  const dialogue: SerialDialogue = new SerialDialogue((line) => {
    const text = new TextDecoder().decode(line);
    typed.push(text);
    const mark = /ga-(\S+);/.exec(text)?.[1];
    const answer = `${text.trimEnd()}\r\n\x1b[?2004l\r\r\nvirga-${mark}\r\n${output}\r\nend-virga-${mark} ${exitCode}\r\n\x1b[?2004hroot@debian:~# `;
    for (const byte of bytes(answer)) dialogue.hear(Uint8Array.of(byte));
  });
  return { dialogue, typed };
}

describe("a dialogue over a serial line", () => {
  test("a prompt is heard through control sequences that come byte by byte", async () => {
    const dialogue = new SerialDialogue(() => {});
    const prompt = dialogue.prompt("root@debian:~# ");
    for (const byte of bytes("\x1b[?2004h\x1b[01;32mroot@de\x1b[0mbian:~# "))
      dialogue.hear(Uint8Array.of(byte));
    await prompt;
    expect(dialogue.transcript).toBe("root@debian:~# ");
  });

  test("any prompt of root or another will do where the machine does not say", async () => {
    const dialogue = new SerialDialogue(() => {});
    const prompt = dialogue.prompt();
    dialogue.hear(bytes("login\r\nuser@host:~$ "));
    await expect(prompt).resolves.toBeUndefined();
  });

  test("a command's output lies between the marks, its echo does not count", async () => {
    const { dialogue, typed } = shell("one\r\ntwo", 3);
    expect(await dialogue.run("echo 'one\ntwo'; exit 3")).toEqual({ output: "one\ntwo", exitCode: 3 });
    const encoded = /echo (\S+) \|/.exec(typed[0]!)?.[1] ?? "";
    expect(Buffer.from(encoded, "base64").toString()).toBe("echo 'one\ntwo'; exit 3");
  });

  test("no output, and a second command", async () => {
    const { dialogue } = shell("", 0);
    expect(await dialogue.run("true")).toEqual({ output: "", exitCode: 0 });
    expect(await dialogue.run("true")).toEqual({ output: "", exitCode: 0 });
  });
});
