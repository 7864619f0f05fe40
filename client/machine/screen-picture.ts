import type { TextScreen } from "./create-machine.ts";
import { attributeColours, character } from "./text-cells.ts";

const CELL_WIDTH = 9;
const CELL_HEIGHT = 16;

/** Draws a text screen as a display would show it. */
function drawText(screen: TextScreen): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = screen.columns * CELL_WIDTH;
  canvas.height = screen.rows * CELL_HEIGHT;
  const context = canvas.getContext("2d", { alpha: false })!;
  context.font = '15px "JetBrains Mono Variable", monospace';
  context.textBaseline = "middle";
  context.textAlign = "center";
  for (let cell = 0; cell < screen.columns * screen.rows; cell++) {
    const [x, y] = [(cell % screen.columns) * CELL_WIDTH, Math.floor(cell / screen.columns) * CELL_HEIGHT];
    const [ink, paper] = attributeColours(screen.cells[2 * cell + 1] ?? 7);
    context.fillStyle = paper;
    context.fillRect(x, y, CELL_WIDTH, CELL_HEIGHT);
    context.fillStyle = ink;
    context.fillText(character(screen.cells[2 * cell] ?? 32), x + CELL_WIDTH / 2, y + CELL_HEIGHT / 2);
    if (cell === screen.cursor) context.fillRect(x, y + CELL_HEIGHT - 3, CELL_WIDTH, 2);
  }
  return canvas;
}

/** Hands the picture of a screen to the person as a PNG file. */
export async function savePicture(
  source: HTMLCanvasElement | TextScreen,
  name: string,
  nowMs: number,
): Promise<void> {
  const canvas = source instanceof HTMLCanvasElement ? source : drawText(source);
  const png = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, "image/png"));
  if (!png) return;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(png);
  link.download = `${name} ${new Date(nowMs).toISOString().slice(0, 19).replaceAll(":", ".")}.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
