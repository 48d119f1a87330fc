// openai-node on the Responses API.
import OpenAI, { APIError } from "openai";
import { zodTextFormat } from "openai/helpers/zod";
import { VERSION } from "openai/version";
import { z } from "zod";

const client = new OpenAI({ baseURL: `${process.env.GATE_URL}/v1`, apiKey: process.env.GATE_KEY });
const hello = { role: "user", content: "hello there" };
const parameters = { type: "object", properties: { query: { type: "string" } } };
const tools = [{ type: "function", name: "look_up", parameters, strict: false }];

async function streamed() {
  let text = "", tokens;
  for await (const event of await client.responses.create({ model: "assistant", input: "hello there", stream: true })) {
    if (event.type === "response.output_text.delta") text += event.delta;
    if (event.type === "response.completed") tokens = event.response.usage.total_tokens;
  }
  return [text, tokens];
}

// What the model says when it has the tool's result.
async function withTool(ask) {
  const { output } = await ask([hello]);
  const call = output.find((item) => item.type === "function_call");
  const found = `found ${JSON.parse(call.arguments).query}`;
  const result = { type: "function_call_output", call_id: call.call_id, output: found };
  return (await ask([hello, ...output, result])).output_text;
}
const whole = (input) => client.responses.create({ model: "tools", input, tools });
const streamedToTheEnd = (input) => client.responses.stream({ model: "tools", input, tools }).finalResponse();

async function structured() {
  const format = zodTextFormat(z.object({ name: z.string(), age: z.number() }), "person");
  return (await client.responses.parse({ model: "facts", input: [hello], text: { format } })).output_parsed;
}

async function conversation() {
  const { output } = await client.responses.create({ model: "assistant", input: [hello] });
  const input = [hello, ...output, { role: "user", content: "and now?" }];
  return (await client.responses.create({ model: "assistant", input })).output_text;
}

async function refused(model, options) {
  try {
    await client.responses.create({ model, input: "hello there", ...options });
  } catch (error) {
    if (!(error instanceof APIError)) throw error;
    return [error.constructor.name, error.status, error.code];
  }
}

const plain = await client.responses.create({ model: "assistant", input: "hello there" });
const seen = {
  version: VERSION,
  chat: [plain.output_text, plain.usage.total_tokens],
  stream: await streamed(),
  tool: await withTool(whole),
  tool_stream: await withTool(streamedToTheEnd),
  structured: await structured(),
  conversation: await conversation(),
  refused: await refused("spent"),
  refused_stream: await refused("spent", { stream: true }),
  unknown: await refused("nothing"),
};
console.log(JSON.stringify(seen));
