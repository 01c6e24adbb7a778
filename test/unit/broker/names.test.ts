import { expect, test } from "bun:test";
import { aliasOf, latestOf } from "../../../src/broker/pool/names.ts";

test.each([
  ["llama3:8b", "llama3:8b"],
  ["llama3:8b-q4_0", "llama3:8b"],
  ["llama3:8b-Q4_K_M", "llama3:8b"],
  ["llama3:8b-instruct-q4_K_M", "llama3:8b-instruct"],
  ["qwen3:30b-instruct", "qwen3:30b-instruct"],
  ["qwen3:30b-a3b-thinking-2507-fp16", "qwen3:30b-a3b-thinking-2507"],
  ["qwen2.5-coder:7b-fp16", "qwen2.5-coder:7b"],
  ["llama3:8b-awq-int4", "llama3:8b"],
  ["llama3:8b-UD-IQ2_XS", "llama3:8b-UD"],
  ["registry.example:5000/team/model:13b-q5", "registry.example:5000/team/model:13b"],
  ["hf.co/team/model-GGUF:Q4_K_M", "hf.co/team/model-GGUF:Q4_K_M"],
  ["llama3", undefined],
  ["gpt-4o-mini", undefined],
  ["model-q4_0", undefined],
  ["llama3:", undefined],
  ["llama3:-q4", undefined],
  [":8b", undefined],
  ["", undefined],
  [":", undefined],
])("the alias of %p is %p", (model, family) => {
  expect(aliasOf(model)).toBe(family);
});

test.each(
  "q2_K q3_K_S q4_0 q4_1 q4_K_M q5_K_L q6_K q8_0 q4_0_4_4 iq2_xs iq3_xxs iq4_nl tq1_0 fp16 f16 f32 bf16 fp8 fp8_e4m3 nf4 nvfp4 mxfp4 awq gptq exl2 int4 int8 w4a16 4bit Q4_K_M BF16".split(
    " ",
  ),
)("%s is a quantization", suffix => {
  expect(aliasOf(`model:7b-${suffix}`)).toBe("model:7b");
});

test.each("instruct thinking chat text vision it qat base coder v0.2 2507 a3b q quick f1 fp int 16 latest".split(" "))(
  "%s is none",
  suffix => {
    expect(aliasOf(`model:7b-${suffix}`)).toBe(`model:7b-${suffix}`);
  },
);

test.each([
  ["llama3.2", "llama3.2:latest"],
  ["llama3.2:latest", "llama3.2"],
  ["hf.co/team/model", "hf.co/team/model:latest"],
  ["registry.example:5000/team/model", "registry.example:5000/team/model:latest"],
  ["llama3.2:3b", undefined],
  [":latest", undefined],
  ["", undefined],
])("the other name of %p is %p", (model, other) => {
  expect(latestOf(model)).toBe(other);
});
