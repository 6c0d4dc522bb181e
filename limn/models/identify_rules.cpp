// SPDX-License-Identifier: Apache-2.0
#include "limn/models/identify_rules.h"

#include <algorithm>

namespace limn::models {
namespace {

/// Prefixes of a denoiser's tensors in the layouts that wrap it.
constexpr std::string_view kWrappers[] = {
    "model.diffusion_model.", "net.",     "model.model.", "control_model.",
    "diffusion_model.",       "adapter.", "params_ema.",  "params."};

constexpr std::string_view kToK = "input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight";

// Adapters come first: some hold a whole denoiser besides. Then denoisers, from the most to the least
// particular; then what is left. Sources: the keys diffusers 0.42 and ComfyUI decide by.
constexpr IdentifyRule kRules[] = {
    // Control networks.
    {"controlnet", "Control-LoRA", "", "", {{{"lora_controlnet"}}}},
    {"controlnet", "ControlNet-LLLite", "sdxl", "", {{{"lllite_unet_*"}}}},
    {"controlnet",
     "union, LDM names",
     "",
     "",
     {{{"control_add_embedding.linear_1.bias"}, {"input_hint_block.0.weight"}}}},
    {"controlnet", "union, diffusers names", "", "", {{{"control_add_embedding.linear_1.bias"}}}},
    {"controlnet",
     "union, diffusers names",
     "",
     "",
     {{{"task_embedding"}, {"controlnet_cond_embedding.conv_in.weight"}}}},
    {"controlnet", "stored as a difference", "", "", {{{"difference"}, {"input_hint_block.0.weight"}}}},
    {"controlnet", "LDM names", "", "", {{{"input_hint_block.0.weight"}, {"zero_convs.0.0.weight"}}}},
    {"controlnet", "SparseCtrl", "", "", {{{"controlnet_cond_embedding.*weight"}, {"*motion_modules*"}}}},
    {"controlnet", "diffusers names", "", "", {{{"controlnet_cond_embedding.conv_in.weight"}}}},
    {"controlnet", "diffusers names", "flux", "", {{{"controlnet_x_embedder.weight"}}}},
    {"controlnet",
     "diffusers names",
     "sd3",
     "",
     {{{"controlnet_blocks.0.weight"}, {"pos_embed_input.proj.weight"}}}},
    {"controlnet", "diffusers names", "sd3", "", {{{"controlnet_blocks.0.weight"}}}},
    {"controlnet", "VideoX-Fun", "z-image", "", {{{"control_all_x_embedder.2-1.weight"}}}},
    {"controlnet", "VideoX-Fun 2", "z-image", "", {{{"control_layers.14.adaLN_modulation.0.weight"}}}},
    {"motion module", "AnimateDiff", "", "", {{{"*motion_modules.0.temporal_transformer*"}}}},

    // Image prompts and small adapters.
    {"ip-adapter",
     "FaceID Plus",
     "",
     "",
     {{{"image_proj.perceiver_resampler.*"}, {"ip_adapter.*.to_k_ip.weight"}}}},
    {"ip-adapter", "FaceID", "", "", {{{"ip_adapter.*_lora.down.weight"}, {"ip_adapter.*.to_k_ip.weight"}}}},
    {"ip-adapter", "Plus", "", "", {{{"image_proj.latents"}, {"ip_adapter.*.to_k_ip.weight"}}}},
    {"ip-adapter", "base", "", "", {{{"image_proj.proj.weight"}, {"ip_adapter.*.to_k_ip.weight"}}}},
    {"ip-adapter", "Full", "", "", {{{"image_proj.*"}, {"ip_adapter.*.to_k_ip.weight"}}}},
    {"t2i-adapter", "light", "", "", {{{"body.0.in_conv.weight"}, {"conv_in.weight", kAbsent}}}},
    {"t2i-adapter", "full", "", "", {{{"conv_in.weight"}, {"body.0.block1.weight"}}}},
    {"t2i-adapter", "diffusers names", "", "", {{{"conv_in.weight"}, {"body.0.resnets.0.block1.weight"}}}},
    {"t2i-adapter", "style", "", "", {{{"style_embedding"}, {"transformer_layes.0.*"}}}},

    // Low-rank and other weight changes.
    {"lora", "DoRA", "", "", {{{"*.dora_scale"}}}},
    {"lora", "DoRA, PEFT names", "", "", {{{"*.lora_magnitude_vector*"}}}},
    {"lora", "LoHa", "", "", {{{"*.hada_w1_a"}}}},
    {"lora", "LoKr", "", "", {{{"*.lokr_w1*"}}}},
    {"lora", "GLoRA", "", "", {{{"*.a1.weight"}, {"*.b1.weight"}}}},
    {"lora", "BOFT", "", "", {{{"*.oft_blocks", kRank, 4}}}},
    {"lora", "OFT", "", "", {{{"*.oft_blocks"}}}},
    {"lora", "Diag-OFT", "", "", {{{"*.oft_diag"}}}},
    {"lora", "IA3", "", "", {{{"*.on_input"}}}},
    {"lora", "LoCon, kohya names", "", "", {{{"*.lora_mid.weight"}}}},
    {"lora", "LoCon, kohya names", "", "", {{{"lora_*.lora_down.weight", 2, 3}}}},
    {"lora", "LyCORIS names", "", "", {{{"lycoris_*.lora_down.weight"}}}},
    {"lora", "kohya names", "", "", {{{"lora_*.lora_down.weight"}}}},
    {"lora", "ComfyUI names", "", "", {{{"diffusion_model.*.lora_down.weight"}}}},
    {"lora", "XLabs names", "flux", "", {{{"double_blocks.*.processor.*lora*.down.weight"}}}},
    {"lora", "dotted names", "", "", {{{"*.lora_down.weight"}}}},
    {"lora", "PEFT names", "", "", {{{"base_model.model.*lora_A*weight"}}}},
    {"lora", "diffusers and PEFT names", "", "", {{{"*.lora_A*weight"}}}},
    {"lora", "old diffusers names", "", "", {{{"*_lora.down.weight"}}}},
    {"lora", "old diffusers names", "", "", {{{"*.lora_linear_layer.down.weight"}}}},
    {"lora", "old diffusers names", "", "", {{{"*.lora.down.weight"}}}},
    {"lora", "full difference", "", "", {{{"*.diff"}}}},
    {"lora", "norms only", "", "", {{{"*.w_norm"}}}},
    {"hypernetwork", "", "sd1", "", {{{"768.*.linear*.weight"}}}},

    // Embeddings.
    {"textual inversion", "A1111", "", "", {{{"string_to_param.*"}}}},
    {"textual inversion", "two encoders", "sdxl", "", {{{"clip_l", kLast, 768}, {"clip_g", kLast, 1280}}}},
    {"textual inversion", "emb_params", "", "", {{{"emb_params"}}}},

    // U-Nets, LDM names.
    {"denoiser",
     "LDM names",
     "sd-x4-upscaler",
     "v_prediction",
     {{{"input_blocks.0.0.weight", 1, 7}, {"input_blocks.10.0.skip_connection.bias"}}}},
    {"denoiser", "LDM names", "svd", "edm", {{{"input_blocks.0.0.weight"}, {"*.time_stack.*"}}}},
    {"denoiser",
     "LDM names",
     "sdxl-refiner",
     "epsilon",
     {{{"input_blocks.0.0.weight"}, {"label_emb.0.0.weight", 1, 2560}}}},
    {"denoiser",
     "LDM names",
     "sd21-unclip-l",
     "v_prediction",
     {{{"input_blocks.0.0.weight"}, {"label_emb.0.0.weight", 1, 1536}}}},
    {"denoiser",
     "LDM names",
     "sd21-unclip-h",
     "v_prediction",
     {{{"input_blocks.0.0.weight"}, {"label_emb.0.0.weight", 1, 2048}}}},
    {"denoiser",
     "LDM names",
     "ssd-1b",
     "epsilon",
     {{{"label_emb.0.0.weight", 1, 2816},
       {"input_blocks.7.1.transformer_blocks.3.norm1.weight"},
       {"input_blocks.7.1.transformer_blocks.4.norm1.weight", kAbsent},
       {"middle_block.1.*", kAbsent}}}},
    {"denoiser",
     "LDM names",
     "segmind-vega",
     "epsilon",
     {{{"label_emb.0.0.weight", 1, 2816},
       {"input_blocks.7.1.transformer_blocks.1.norm1.weight"},
       {"input_blocks.7.1.transformer_blocks.2.norm1.weight", kAbsent},
       {"middle_block.1.*", kAbsent}}}},
    {"denoiser",
     "LDM names",
     "koala-1b",
     "epsilon",
     {{{"label_emb.0.0.weight", 1, 2816},
       {"input_blocks.5.1.transformer_blocks.5.norm1.weight"},
       {"input_blocks.6.*", kAbsent}}}},
    {"denoiser",
     "LDM names",
     "koala-700m",
     "epsilon",
     {{{"label_emb.0.0.weight", 1, 2816},
       {"input_blocks.5.1.transformer_blocks.4.norm1.weight"},
       {"input_blocks.6.*", kAbsent}}}},
    {"denoiser",
     "LDM names",
     "sdxl",
     "epsilon",
     {{{"input_blocks.0.0.weight"}, {"label_emb.0.0.weight", 1, 2816}}}},
    {"denoiser", "LDM names", "sd2", "unknown", {{{"input_blocks.0.0.weight"}, {kToK, 1, 1024}}}},
    {"denoiser",
     "LDM names",
     "sd1",
     "epsilon",
     {{{"input_blocks.0.0.weight", kRank, 4},
       {"*.proj_in.weight", kRank, 4},
       {"*.attn2.to_k.weight", kRank, 2},
       {"label_emb.*", kAbsent}}}},

    // U-Nets, diffusers names.
    {"denoiser",
     "diffusers names",
     "sd-x4-upscaler",
     "v_prediction",
     {{{"conv_in.weight", 1, 7}, {"class_embedding.weight"}}}},
    {"denoiser",
     "diffusers names",
     "sdxl-refiner",
     "epsilon",
     {{{"conv_in.weight"}, {"add_embedding.linear_1.weight", 1, 2560}}}},
    {"denoiser",
     "diffusers names",
     "sd21-unclip-l",
     "v_prediction",
     {{{"conv_in.weight"}, {"class_embedding.linear_1.weight", 1, 1536}}}},
    {"denoiser",
     "diffusers names",
     "sd21-unclip-h",
     "v_prediction",
     {{{"conv_in.weight"}, {"class_embedding.linear_1.weight", 1, 2048}}}},
    {"denoiser",
     "diffusers names",
     "ssd-1b",
     "epsilon",
     {{{"add_embedding.linear_1.weight", 1, 2816},
       {"down_blocks.2.attentions.0.transformer_blocks.3.norm1.weight"},
       {"down_blocks.2.attentions.0.transformer_blocks.4.norm1.weight", kAbsent},
       {"mid_block.attentions.*", kAbsent}}}},
    {"denoiser",
     "diffusers names",
     "segmind-vega",
     "epsilon",
     {{{"add_embedding.linear_1.weight", 1, 2816},
       {"down_blocks.2.attentions.0.transformer_blocks.1.norm1.weight"},
       {"down_blocks.2.attentions.0.transformer_blocks.2.norm1.weight", kAbsent},
       {"mid_block.attentions.*", kAbsent}}}},
    {"denoiser",
     "diffusers names",
     "koala-1b",
     "epsilon",
     {{{"add_embedding.linear_1.weight", 1, 2816},
       {"down_blocks.2.attentions.0.transformer_blocks.5.norm1.weight"},
       {"down_blocks.2.resnets.1.*", kAbsent}}}},
    {"denoiser",
     "diffusers names",
     "koala-700m",
     "epsilon",
     {{{"add_embedding.linear_1.weight", 1, 2816},
       {"down_blocks.2.attentions.0.transformer_blocks.4.norm1.weight"},
       {"down_blocks.2.resnets.1.*", kAbsent}}}},
    {"denoiser",
     "diffusers names",
     "sdxl",
     "epsilon",
     {{{"conv_in.weight"}, {"add_embedding.linear_1.weight", 1, 2816}}}},
    {"denoiser",
     "diffusers names",
     "sd2",
     "unknown",
     {{{"conv_in.weight"},
       {"mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight", 1, 1024},
       {"add_embedding.*", kAbsent}}}},
    {"denoiser",
     "diffusers names",
     "sd1",
     "epsilon",
     {{{"conv_in.weight", kRank, 4},
       {"*.attentions.*.proj_in.weight"},
       {"*.attn2.to_k.weight", kRank, 2},
       {"add_embedding.*", kAbsent}}}},

    // Transformers, original names.
    {"denoiser", "original names", "sd3.5-large", "flow", {{{"joint_blocks.37.x_block.mlp.fc1.weight"}}}},
    {"denoiser",
     "original names",
     "sd3.5-medium",
     "flow",
     {{{"joint_blocks.0.x_block.attn2.*"}, {"joint_blocks.0.context_block.adaLN_modulation.1.bias"}}}},
    {"denoiser",
     "original names",
     "sd3.5-medium",
     "flow",
     {{{"pos_embed", 1, 147456}, {"joint_blocks.0.context_block.adaLN_modulation.1.bias"}}}},
    {"denoiser",
     "original names",
     "sd3",
     "flow",
     {{{"joint_blocks.0.context_block.adaLN_modulation.1.bias"}}}},
    {"denoiser", "original names", "flux3", "flow", {{{"early_stream_modulations.*"}}}},
    {"denoiser", "original names", "flux2", "flow", {{{"single_stream_modulation.lin.weight"}}}},
    {"denoiser", "original names", "chroma", "flow", {{{"distilled_guidance_layer.*"}}}},
    {"denoiser",
     "original names",
     "flux-fill",
     "flow",
     {{{"double_blocks.0.img_attn.norm.key_norm.scale"}, {"guidance_in.*"}, {"img_in.weight", 1, 384}}}},
    {"denoiser",
     "original names",
     "flux-control",
     "flow",
     {{{"double_blocks.0.img_attn.norm.key_norm.scale"}, {"guidance_in.*"}, {"img_in.weight", 1, 128}}}},
    {"denoiser",
     "original names",
     "flux-dev",
     "flow",
     {{{"double_blocks.0.img_attn.norm.key_norm.scale"}, {"guidance_in.*"}}}},
    {"denoiser",
     "original names",
     "flux-schnell",
     "flow",
     {{{"double_blocks.0.img_attn.norm.key_norm.scale"}}}},
    {"denoiser",
     "original names",
     "hunyuan-video",
     "flow",
     {{{"txt_in.individual_token_refiner.blocks.0.adaLN_modulation.1.bias"}}}},
    {"denoiser", "original names", "auraflow", "flow", {{{"double_layers.0.attn.w1q.weight"}}}},
    {"denoiser",
     "original names",
     "pixart",
     "epsilon",
     {{{"t_block.1.weight"}, {"y_embedder.y_proj.fc1.weight"}}}},
    {"denoiser", "original names", "wan", "flow", {{{"head.modulation"}}}},
    {"denoiser",
     "original names",
     "qwen-image",
     "flow",
     {{{"txt_norm.weight"}, {"transformer_blocks.0.img_mlp.net.0.proj.weight"}}}},
    {"denoiser",
     "original names",
     "z-image",
     "flow",
     {{{"layers.0.adaLN_modulation.0.weight"}, {"cap_embedder.0.weight"}}}},
    {"denoiser", "original names", "lumina2", "flow", {{{"cap_embedder.0.weight"}}}},
    {"denoiser", "original names", "ltx-video", "flow", {{{"patchify_proj.weight"}}}},
    {"denoiser", "original names", "sana", "flow", {{{"blocks.0.cross_attn.kv_linear.weight"}}}},
    {"denoiser",
     "original names",
     "hidream",
     "flow",
     {{{"double_stream_blocks.0.block.adaLN_modulation.1.bias"}}}},
    {"denoiser", "original names", "mochi", "flow", {{{"blocks.0.attn.qkv_x.weight"}}}},
    {"denoiser", "original names", "cosmos", "edm", {{{"x_embedder.proj.1.weight"}, {"*blocks.*"}}}},
    {"denoiser", "original names", "stable-cascade", "epsilon", {{{"clip_txt_mapper.weight"}}}},
    {"denoiser", "original names", "stable-cascade", "epsilon", {{{"down_blocks.1.0.channelwise.0.weight"}}}},

    // Transformers, diffusers names.
    {"denoiser",
     "diffusers names",
     "flux-fill",
     "flow",
     {{{"single_transformer_blocks.0.attn.norm_k.weight"}, {"x_embedder.weight", 1, 384}}}},
    {"denoiser",
     "diffusers names",
     "flux-control",
     "flow",
     {{{"single_transformer_blocks.0.attn.norm_k.weight"}, {"x_embedder.weight", 1, 128}}}},
    {"denoiser",
     "diffusers names",
     "flux-dev",
     "flow",
     {{{"single_transformer_blocks.0.attn.norm_k.weight"},
       {"time_text_embed.guidance_embedder.linear_1.weight"}}}},
    {"denoiser",
     "diffusers names",
     "flux-schnell",
     "flow",
     {{{"single_transformer_blocks.0.attn.norm_k.weight"},
       {"time_text_embed.timestep_embedder.linear_1.weight"}}}},
    {"denoiser",
     "diffusers names",
     "sd3.5-large",
     "flow",
     {{{"transformer_blocks.37.attn.add_k_proj.weight"}, {"pos_embed.pos_embed"}}}},
    {"denoiser",
     "diffusers names",
     "sd3.5-medium",
     "flow",
     {{{"transformer_blocks.0.attn2.to_k.weight"}, {"pos_embed.pos_embed", 1, 147456}}}},
    {"denoiser",
     "diffusers names",
     "sd3",
     "flow",
     {{{"transformer_blocks.0.attn.add_k_proj.weight"}, {"pos_embed.pos_embed"}}}},
    {"denoiser",
     "diffusers names",
     "pixart",
     "epsilon",
     {{{"adaln_single.emb.timestep_embedder.linear_1.weight"}, {"caption_projection.linear_1.weight"}}}},
    {"denoiser",
     "diffusers names",
     "wan",
     "flow",
     {{{"condition_embedder.time_embedder.linear_1.weight"}, {"scale_shift_table"}}}},

    // Autoencoders.
    {"vae", "TAESD, ComfyUI names", "", "", {{{"taesd_decoder.1.weight"}}}},
    {"vae", "TAESD, diffusers names", "", "", {{{"decoder.layers.0.weight"}, {"encoder.layers.0.weight"}}}},
    {"vae", "TAESD decoder", "", "", {{{"1.weight", kRank, 4}, {"3.conv.0.weight"}}}},
    {"vae", "TAESD encoder", "", "", {{{"0.weight", kRank, 4}, {"1.conv.0.weight"}}}},
    {"vae",
     "diffusers names",
     "",
     "",
     {{{"decoder.up_blocks.0.resnets.0.norm1.weight"}, {"decoder.conv_in.weight"}}}},
    {"vae", "Wan names", "wan", "", {{{"decoder.middle.0.residual.0.gamma"}}}},
    {"vae", "deep compression", "sana", "", {{{"decoder.stages.1.op_list.0.main.conv.conv.bias"}}}},
    {"vae", "LDM names", "", "", {{{"decoder.conv_in.weight"}, {"decoder.mid.block_1.norm1.weight"}}}},
    {"vae", "LDM names", "", "", {{{"*decoder.conv_in.weight"}, {"*decoder.mid.block_1.norm1.weight"}}}},

    // Encoders of text and of pictures.
    {"image encoder", "CLIP", "", "", {{{"vision_model.encoder.layers.0.self_attn.k_proj.weight"}}}},
    {"text encoder",
     "CLIP ViT-L",
     "",
     "",
     {{{"*encoder.layers.0.self_attn.k_proj.weight", 1, 768}, {"*embeddings.token_embedding.weight"}}}},
    {"text encoder",
     "OpenCLIP ViT-H",
     "",
     "",
     {{{"*encoder.layers.0.self_attn.k_proj.weight", 1, 1024}, {"*embeddings.token_embedding.weight"}}}},
    {"text encoder",
     "OpenCLIP ViT-bigG",
     "",
     "",
     {{{"*encoder.layers.0.self_attn.k_proj.weight", 1, 1280}, {"*embeddings.token_embedding.weight"}}}},
    {"text encoder",
     "CLIP",
     "",
     "",
     {{{"*encoder.layers.0.self_attn.k_proj.weight"}, {"*embeddings.token_embedding.weight"}}}},
    {"text encoder",
     "OpenCLIP",
     "",
     "",
     {{{"*transformer.resblocks.0.attn.in_proj_weight"}, {"*token_embedding.weight"}}}},
    {"text encoder", "T5", "", "", {{{"encoder.block.0.layer.0.SelfAttention.k.weight"}}}},

    // Picture enlargers.
    {"upscaler", "ESRGAN", "", "", {{{"model.1.sub.0.RDB1.conv1.0.weight"}}}},
    {"upscaler", "Real-ESRGAN", "", "", {{{"conv_first.weight"}, {"body.0.rdb1.conv1.weight"}}}},
    {"upscaler", "ESRGAN", "", "", {{{"conv_first.weight"}, {"RRDB_trunk.0.RDB1.conv1.weight"}}}},
    {"upscaler", "SwinIR", "", "", {{{"conv_first.weight"}, {"layers.0.residual_group.blocks.0.*"}}}},
};

constexpr FamilyTitle kTitles[] = {
    {"sd1", "Stable Diffusion 1.x"},
    {"sd2", "Stable Diffusion 2.x"},
    {"sd21-unclip-l", "Stable Diffusion 2.1 unCLIP (ViT-L)"},
    {"sd21-unclip-h", "Stable Diffusion 2.1 unCLIP (ViT-H)"},
    {"sd-x4-upscaler", "Stable Diffusion x4 upscaler"},
    {"svd", "Stable Video Diffusion"},
    {"sdxl", "Stable Diffusion XL"},
    {"sdxl-refiner", "Stable Diffusion XL refiner"},
    {"ssd-1b", "SSD-1B"},
    {"segmind-vega", "Segmind Vega"},
    {"koala-700m", "KOALA 700M"},
    {"koala-1b", "KOALA 1B"},
    {"sd3", "Stable Diffusion 3"},
    {"sd3.5-medium", "Stable Diffusion 3.5 Medium"},
    {"sd3.5-large", "Stable Diffusion 3.5 Large"},
    {"flux", "FLUX.1"},
    {"flux-dev", "FLUX.1 dev"},
    {"flux-schnell", "FLUX.1 schnell"},
    {"flux-fill", "FLUX.1 Fill"},
    {"flux-control", "FLUX.1 Canny or Depth"},
    {"flux2", "FLUX.2"},
    {"flux3", "FLUX.3"},
    {"chroma", "Chroma"},
    {"auraflow", "AuraFlow"},
    {"pixart", "PixArt"},
    {"wan", "Wan"},
    {"qwen-image", "Qwen-Image"},
    {"z-image", "Z-Image"},
    {"lumina2", "Lumina 2"},
    {"ltx-video", "LTX-Video"},
    {"hunyuan-video", "HunyuanVideo"},
    {"sana", "Sana"},
    {"hidream", "HiDream"},
    {"mochi", "Mochi"},
    {"cosmos", "Cosmos"},
    {"stable-cascade", "Stable Cascade"},
};

constexpr AdapterFamilyRule kAdapterFamilies[] = {
    {"lora", "flux", {"*double_blocks_0_img_attn*"}},
    {"lora", "flux", {"*double_blocks.0.img_attn*"}},
    {"lora", "flux", {"*single_transformer_blocks*"}},
    {"lora", "sd3", {"*joint_blocks*"}},
    {"lora", "sd3", {"*transformer_blocks*attn*add_k_proj*"}},
    {"lora", "qwen-image", {"*transformer_blocks*img_mlp*"}},
    {"lora", "wan", {"*blocks*cross_attn*"}},
    {"lora", "auraflow", {"*double_layers*"}},
    {"lora", "z-image", {"*layers*feed_forward*w1*"}},
    {"lora", "sd1", {"*attn2*to_k*down.weight", 1, 768}},
    {"lora", "sd2", {"*attn2*to_k*down.weight", 1, 1024}},
    {"lora", "sdxl-refiner", {"*attn2*to_k*down.weight", 1, 1280}},
    {"lora", "sdxl", {"*attn2*to_k*down.weight", 1, 2048}},
    {"lora", "sd1", {"*attn2*to_k*lora_A*weight", 1, 768}},
    {"lora", "sd2", {"*attn2*to_k*lora_A*weight", 1, 1024}},
    {"lora", "sdxl", {"*attn2*to_k*lora_A*weight", 1, 2048}},
    {"lora", "sd1", {"*attn2*to_k.hada_w1_b", 1, 768}},
    {"lora", "sd2", {"*attn2*to_k.hada_w1_b", 1, 1024}},
    {"lora", "sdxl", {"*attn2*to_k.hada_w1_b", 1, 2048}},
    {"lora", "sd1", {"*attn2*to_k.diff", 1, 768}},
    {"lora", "sd2", {"*attn2*to_k.diff", 1, 1024}},
    {"lora", "sdxl", {"*attn2*to_k.diff", 1, 2048}},
    {"lora", "sdxl", {"lora_te2_*"}},
    {"lora", "sdxl", {"text_encoder_2.*"}},
    {"lora", "sdxl", {"*_unet_*transformer_blocks_1_*"}},  // SD 1 and 2 have one transformer block a layer
    {"lora", "sdxl", {"lycoris_*transformer_blocks_1_*"}},
    {"lora", "sd2", {"lora_te_*encoder_layers_22_*"}},  // ViT-H has 23 layers, ViT-L 12
    {"lora", "sd1", {"lora_te_*q_proj*down.weight", 1, 768}},
    {"lora", "sd2", {"lora_te_*q_proj*down.weight", 1, 1024}},
    {"lora", "sd1", {"lora_te_*"}},
    {"controlnet", "sd1", {"*attn2.to_k.weight", 1, 768}},
    {"controlnet", "sd2", {"*attn2.to_k.weight", 1, 1024}},
    {"controlnet", "sdxl", {"*attn2.to_k.weight", 1, 2048}},
    {"controlnet", "sdxl", {"*add_embedding.linear_1.weight", 1, 2816}},
    {"controlnet", "sdxl", {"label_emb.0.0.*"}},
    {"controlnet", "sdxl", {"*attn2.to_k.down", 1, 2048}},
    {"ip-adapter", "sd1", {"*to_k_ip.weight", 1, 768}},
    {"ip-adapter", "sd2", {"*to_k_ip.weight", 1, 1024}},
    {"ip-adapter", "sdxl", {"*to_k_ip.weight", 1, 2048}},
    {"t2i-adapter", "sd1", {"conv_in.weight", 1, 192}},  // 3 channels, unshuffled by 8; 64: one channel
    {"t2i-adapter", "sd1", {"conv_in.weight", 1, 64}},
    {"t2i-adapter", "sdxl", {"conv_in.weight", 1, 768}},  // unshuffled by 16
    {"t2i-adapter", "sdxl", {"conv_in.weight", 1, 256}},
    {"t2i-adapter", "sd1", {"body.0.in_conv.weight", 1, 192}},
    {"t2i-adapter", "sd1", {"body.0.in_conv.weight", 1, 64}},
    {"t2i-adapter", "sd1", {"style_embedding"}},
    {"textual inversion", "sd1", {"*", kLast, 768}},
    {"textual inversion", "sd2", {"*", kLast, 1024}},
    {"textual inversion", "sdxl", {"*", kLast, 1280}},
    {"motion module", "sdxl", {"*up_blocks.2.motion_modules.0.temporal_transformer.norm.weight", 0, 320}},
    {"motion module", "sd1", {"*"}},
};

constexpr VariantRule kVariants[] = {
    {"inpaint", {{{"input_blocks.0.0.weight", 1, 9}}}},
    {"inpaint", {{{"conv_in.weight", 1, 9}}}},
    {"instruct-pix2pix", {{{"input_blocks.0.0.weight", 1, 8}, {"out.2.weight", 0, 4}}}},
    {"instruct-pix2pix", {{{"conv_in.weight", 1, 8}, {"conv_out.weight", 0, 4}}}},
    {"depth", {{{"input_blocks.0.0.weight", 1, 5}}}},
    {"depth", {{{"conv_in.weight", 1, 5}}}},
    {"lcm", {{{"time_embed.cond_proj.weight"}}}},
    {"lcm", {{{"time_embedding.cond_proj.weight"}}}},
    {"zero-snr", {{{"ztsnr"}}}},
};

constexpr PredictionRule kPredictions[] = {
    {"v_prediction", {"v_pred"}},
    {"edm v_prediction", {"edm_vpred.sigma_max"}},
    {"edm", {"edm_mean"}},
};

constexpr PartPrefix kParts[] = {
    {"model_ema.", "ema"},
    {"model.diffusion_model.", "unet"},
    {"control_model.", "controlnet"},
    {"first_stage_model.", "vae"},
    {"vae.", "vae"},
    {"cond_stage_model.", "text_encoder"},
    {"conditioner.embedders.0.", "text_encoder"},
    {"conditioner.embedders.1.", "text_encoder_2"},
    {"text_encoders.clip_l.", "text_encoder"},
    {"text_encoders.clip_g.", "text_encoder_2"},
    {"text_encoders.t5xxl.", "text_encoder_3"},
    {"lora_unet_", "unet"},
    {"lora_te1_", "text_encoder"},
    {"lora_te2_", "text_encoder_2"},
    {"lora_te3_", "text_encoder_3"},
    {"lora_te_", "text_encoder"},
    {"unet.", "unet"},
    {"transformer.", "transformer"},
    {"text_encoder_2.", "text_encoder_2"},
    {"text_encoder.", "text_encoder"},
    {"image_proj.", "image projection"},
    {"ip_adapter.", "attention"},
};

std::string shape_text(const weights::TensorEntry& entry) {
  std::string text = "[";
  for (size_t i = 0; i < entry.shape.size(); ++i) text += (i ? ", " : "") + std::to_string(entry.shape[i]);
  return text + "]";
}

bool has_size(const weights::TensorEntry& entry, const Need& need) {
  switch (need.dimension) {
    case kPresent:
    case kAbsent:
      return true;
    case kRank:
      return static_cast<int64_t>(entry.shape.size()) == need.size;
    case kLast:
      return !entry.shape.empty() && entry.shape.back() == need.size;
    default:
      return entry.shape.size() > static_cast<size_t>(need.dimension) &&
             entry.shape[static_cast<size_t>(need.dimension)] == need.size;
  }
}

}  // namespace

std::span<const IdentifyRule> identify_rules() { return kRules; }
std::span<const FamilyTitle> family_titles() { return kTitles; }
std::span<const AdapterFamilyRule> adapter_family_rules() { return kAdapterFamilies; }
std::span<const VariantRule> variant_rules() { return kVariants; }
std::span<const PredictionRule> prediction_rules() { return kPredictions; }
std::span<const PartPrefix> part_prefixes() { return kParts; }

bool fits(std::string_view pattern, std::string_view text) {
  size_t star = std::string_view::npos, resume = 0, p = 0, t = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p, ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

NamedTensors::NamedTensors(const weights::Index& index) {
  for (const auto& [key, entry] : index.tensors) {
    tensors_.emplace_back(key, &entry);
    for (std::string_view wrapper : kWrappers)
      if (key.starts_with(wrapper))
        tensors_.emplace_back(std::string_view(key).substr(wrapper.size()), &entry);
  }
  std::ranges::sort(tensors_, {}, &Named::first);
}

const NamedTensors::Named* NamedTensors::find_named(const Need& need) const {
  const std::string_view fixed = need.key.substr(0, need.key.find('*'));
  auto named = std::ranges::lower_bound(tensors_, fixed, {}, &Named::first);
  for (; named != tensors_.end() && named->first.starts_with(fixed); ++named)
    if (fits(need.key, named->first) && has_size(*named->second, need)) return &*named;
  return nullptr;
}

const weights::TensorEntry* NamedTensors::find(const Need& need) const {
  const Named* named = find_named(need);
  return named ? named->second : nullptr;
}

bool NamedTensors::meets(std::span<const Need> needs, std::vector<std::string>* evidence) const {
  std::vector<std::string> found;
  for (const Need& need : needs) {
    if (need.key.empty()) continue;
    const Named* named = find_named(need);
    if ((named == nullptr) != (need.dimension == kAbsent)) return false;
    found.push_back(named ? std::string(named->first) + " " + shape_text(*named->second)
                          : "no " + std::string(need.key));
  }
  if (evidence) evidence->insert(evidence->end(), found.begin(), found.end());
  return true;
}

}  // namespace limn::models
