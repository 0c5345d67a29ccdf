"""Real diffusers and transformers classes at tiny random configurations."""

from __future__ import annotations

import os

import torch
from diffusers import (
    AuraFlowPipeline,
    AuraFlowTransformer2DModel,
    AutoencoderDC,
    AutoencoderKL,
    AutoencoderKLFlux2,
    AutoencoderKLQwenImage,
    ChromaPipeline,
    ChromaTransformer2DModel,
    ControlNetModel,
    DDIMScheduler,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Pipeline,
    Flux2Transformer2DModel,
    FluxPipeline,
    FluxTransformer2DModel,
    Lumina2Pipeline,
    Lumina2Transformer2DModel,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    SanaPipeline,
    SanaTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from tokenizers import pre_tokenizers
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    Gemma2Config,
    Gemma2Model,
    Mistral3Config,
    Mistral3ForConditionalGeneration,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3Model,
    T5Config,
    T5EncoderModel,
    UMT5Config,
    UMT5EncoderModel,
)

DEVICE = os.environ.get("DUALSAFE_TEST_DEVICE", "cpu")
"""Where pipelines are, in whatever test: `make gpu-test` says "cuda"."""


def tokenizer() -> CLIPTokenizer:
    """A byte-level CLIP tokenizer without merges: every text has tokens."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*letters, *(c + "</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=48)


def text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=48,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    ).eval()


def unet(in_channels: int = 4) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=in_channels,
        out_channels=4,
        block_out_channels=(32, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2D",
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=8,
        norm_num_groups=8,
    ).eval()


def vae(latent_channels: int = 4, blocks: int = 2) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(16, 32, 32, 32)[:blocks],
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        latent_channels=latent_channels,
        norm_num_groups=8,
        sample_size=16,
        mid_block_add_attention=False,
    ).eval()


def scheduler(prediction_type: str) -> DDIMScheduler:
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction_type,
    )


def stable_diffusion(prediction_type: str = "epsilon", seed: int = 0, in_channels: int = 4) -> StableDiffusionPipeline:
    """A Stable Diffusion 1.x ("epsilon") or 2.x ("v_prediction") pipeline; nine channels for inpainting."""
    torch.manual_seed(seed)
    words = tokenizer()
    parts = (vae(), text_encoder(words), words, unet(in_channels), scheduler(prediction_type), None, None)
    return quiet(StableDiffusionPipeline(*parts, requires_safety_checker=False))


def safety_checker() -> tuple[StableDiffusionSafetyChecker, CLIPImageProcessor]:
    """A safety checker that flags everything."""
    tower = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 1, "num_attention_heads": 4}
    config = CLIPConfig(vision_config=tower | {"image_size": 30, "patch_size": 15}, projection_dim=32)
    checker = StableDiffusionSafetyChecker(config).eval()
    checker.concept_embeds_weights.data.fill_(-2.0)
    return checker, CLIPImageProcessor(size={"shortest_edge": 30}, crop_size=30)


def _clip(words: CLIPTokenizer, projected: bool = False) -> CLIPTextModel | CLIPTextModelWithProjection:
    config = text_encoder(words).config
    config.projection_dim = 32
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config).eval()


def controlnet(unet: UNet2DConditionModel, seed: int = 0) -> ControlNetModel:
    """A ControlNet for `unet`, whose first and last layers are not zero, as they are before any training."""
    torch.manual_seed(seed)
    net = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(16, 32), load_weights_from_unet=False)
    for layer in (*net.controlnet_down_blocks, net.controlnet_mid_block, net.controlnet_cond_embedding.conv_out):
        torch.nn.init.normal_(layer.weight, std=0.2)
    return net.eval()


def stable_diffusion_xl(seed: int = 0) -> StableDiffusionXLPipeline:
    torch.manual_seed(seed)
    words = tokenizer()
    denoiser = UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        block_out_channels=(32, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2D",
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 1),
        projection_class_embeddings_input_dim=80,
        cross_attention_dim=64,
        norm_num_groups=8,
    ).eval()
    first, second = _clip(words), _clip(words, projected=True)
    return quiet(
        StableDiffusionXLPipeline(
            vae(), first, second, words, words, denoiser, scheduler("epsilon"), add_watermarker=False
        )
    )


def stable_diffusion_3(seed: int = 0, channels: int = 4) -> StableDiffusion3Pipeline:
    torch.manual_seed(seed)
    words = tokenizer()
    transformer = SD3Transformer2DModel(
        sample_size=8,
        patch_size=1,
        in_channels=channels,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        caption_projection_dim=32,
        joint_attention_dim=32,
        pooled_projection_dim=64,
        out_channels=channels,
    ).eval()
    autoencoder = vae(channels)
    autoencoder.register_to_config(shift_factor=0.06, scaling_factor=1.5)
    t5 = _t5(words)
    parts = (_clip(words, projected=True), words, _clip(words, projected=True), words, t5, words)
    return quiet(StableDiffusion3Pipeline(transformer, FlowMatchEulerDiscreteScheduler(shift=3.0), autoencoder, *parts))


def flux(seed: int = 0, distilled: bool = True) -> FluxPipeline:
    torch.manual_seed(seed)
    words = tokenizer()
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=distilled,
    ).eval()
    autoencoder = vae()
    autoencoder.register_to_config(shift_factor=0.06, scaling_factor=1.5)
    steps = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    return quiet(FluxPipeline(steps, autoencoder, _clip(words), words, _t5(words), words, transformer))


def chroma(seed: int = 0) -> ChromaPipeline:
    torch.manual_seed(seed)
    words = tokenizer()
    transformer = ChromaTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        axes_dims_rope=(4, 4, 8),
        approximator_num_channels=16,
        approximator_hidden_dim=32,
        approximator_layers=1,
    ).eval()
    autoencoder = vae()
    autoencoder.register_to_config(shift_factor=0.06, scaling_factor=1.5)
    return quiet(ChromaPipeline(FlowMatchEulerDiscreteScheduler(), autoencoder, _t5(words), words, transformer))


def pixart_sigma(seed: int = 0, sample_size: int = 8, blocks: int = 2) -> PixArtSigmaPipeline:
    torch.manual_seed(seed)
    words = tokenizer()
    transformer = PixArtTransformer2DModel(
        sample_size=sample_size,
        num_layers=1,
        patch_size=2,
        in_channels=4,
        out_channels=8,
        attention_head_dim=8,
        num_attention_heads=3,
        cross_attention_dim=24,
        caption_channels=32,
        norm_type="ada_norm_single",
    ).eval()
    return quiet(PixArtSigmaPipeline(words, _t5(words), vae(blocks=blocks), transformer, scheduler("epsilon")))


def sana(seed: int = 0) -> SanaPipeline:
    torch.manual_seed(seed)
    words = tokenizer()
    transformer = SanaTransformer2DModel(
        patch_size=1,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        num_attention_heads=2,
        attention_head_dim=4,
        num_cross_attention_heads=2,
        cross_attention_head_dim=4,
        cross_attention_dim=8,
        caption_channels=32,
        sample_size=32,
    ).eval()
    blocks = {
        "block_types": ("ResBlock", "EfficientViTBlock"),
        "block_out_channels": (8, 8),
        "layers_per_block": (1, 1),
    }
    blocks |= {"qkv_multiscales": ((), (5,))}
    autoencoder = AutoencoderDC(
        in_channels=3,
        latent_channels=4,
        attention_head_dim=2,
        downsample_block_type="conv",
        upsample_block_type="interpolate",
        decoder_norm_types="rms_norm",
        decoder_act_fns="silu",
        **{f"{side}_{name}": value for side in ("encoder", "decoder") for name, value in blocks.items()},
    ).eval()
    shape = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 1, "head_dim": 8}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2}
    encoder = Gemma2Model(Gemma2Config(vocab_size=len(words), **shape, **heads)).eval()
    return quiet(SanaPipeline(words, encoder, autoencoder, transformer, FlowMatchEulerDiscreteScheduler(shift=3.0)))


def aura_flow(seed: int = 0) -> AuraFlowPipeline:
    torch.manual_seed(seed)
    words = tokenizer()
    transformer = AuraFlowTransformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_mmdit_layers=1,
        num_single_dit_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        caption_projection_dim=32,
        joint_attention_dim=32,
        pos_embed_max_size=64,
    ).eval()
    encoder = UMT5EncoderModel(UMT5Config(vocab_size=len(words), **_T5)).eval()
    return quiet(AuraFlowPipeline(words, encoder, vae(), transformer, FlowMatchEulerDiscreteScheduler(shift=1.73)))


def lumina_2(seed: int = 0) -> Lumina2Pipeline:
    torch.manual_seed(seed)
    words = tokenizer()
    transformer = Lumina2Transformer2DModel(
        sample_size=4,
        patch_size=2,
        in_channels=4,
        hidden_size=24,
        num_layers=1,
        num_refiner_layers=1,
        num_attention_heads=3,
        num_kv_heads=1,
        multiple_of=2,
        axes_dim_rope=(4, 2, 2),
        axes_lens=(512, 32, 32),
        cap_feat_dim=32,
    ).eval()
    autoencoder = vae(blocks=4)  # the pipeline takes pictures for 8 times as large as latents, whatever it is
    autoencoder.register_to_config(shift_factor=0.06, scaling_factor=1.5)
    shape = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 2, "head_dim": 8}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2}
    encoder = Gemma2Model(Gemma2Config(vocab_size=len(words), **shape, **heads)).eval()
    return quiet(Lumina2Pipeline(transformer, FlowMatchEulerDiscreteScheduler(shift=3.0), autoencoder, encoder, words))


_CHAT = "{% for m in messages %}{{ m.content if m.content is string else m.content[0].text }}|{% endfor %}"
_DECODER = {
    "hidden_size": 32,
    "intermediate_size": 37,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "bos_token_id": None,
    "eos_token_id": None,
}


def _chatting() -> CLIPTokenizer:
    words = tokenizer()
    words.chat_template = _CHAT
    return words


def qwen_image(seed: int = 0) -> QwenImagePipeline:
    torch.manual_seed(seed)
    words = tokenizer()
    words.model_max_length = 2048
    transformer = QwenImageTransformer2DModel(
        patch_size=2,
        in_channels=16,
        out_channels=4,
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        axes_dims_rope=(8, 4, 4),
    ).eval()
    autoencoder = AutoencoderKLQwenImage(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 2],
        num_res_blocks=1,
        temperal_downsample=[False],
        latents_mean=[0.1, -0.2, 0.3, 0.0],
        latents_std=[1.5, 2.0, 0.8, 1.0],
    ).eval()
    tower = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 32}
    text = _DECODER | {"vocab_size": len(words), "rope_scaling": {"type": "mrope", "mrope_section": [2, 2, 4]}}
    config = Qwen2_5_VLConfig(text_config=text, vision_config=tower)
    encoder = Qwen2_5_VLForConditionalGeneration(config).eval()
    steps = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    return quiet(QwenImagePipeline(steps, autoencoder, encoder, words, transformer))


def z_image(seed: int = 0) -> ZImagePipeline:
    torch.manual_seed(seed)
    words = _chatting()
    transformer = ZImageTransformer2DModel(
        in_channels=4,
        dim=32,
        n_layers=2,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=32,
        axes_dims=[8, 4, 4],
        axes_lens=[256, 32, 32],
    ).eval()
    torch.nn.init.normal_(transformer.x_pad_token)
    torch.nn.init.normal_(transformer.cap_pad_token)
    autoencoder = vae()
    autoencoder.register_to_config(shift_factor=0.06, scaling_factor=1.5)
    encoder = Qwen3Model(Qwen3Config(vocab_size=len(words), **_DECODER)).eval()
    steps = FlowMatchEulerDiscreteScheduler(shift=3.0)
    return quiet(ZImagePipeline(steps, autoencoder, encoder, words, transformer))


def _flux_2(guided: bool) -> tuple[FlowMatchEulerDiscreteScheduler, AutoencoderKLFlux2, Flux2Transformer2DModel]:
    transformer = Flux2Transformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=96,
        timestep_guidance_channels=32,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=guided,
    ).eval()
    autoencoder = AutoencoderKLFlux2(
        block_out_channels=(16, 32),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=16,
    ).eval()
    autoencoder.bn.running_mean.normal_(std=0.3)
    autoencoder.bn.running_var.uniform_(0.5, 2.0)
    return FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True), autoencoder, transformer


def flux_2(seed: int = 0) -> Flux2Pipeline:
    torch.manual_seed(seed)
    words = _chatting()
    tower = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "head_dim": 8,
    }
    config = Mistral3Config(
        text_config=_DECODER | {"model_type": "mistral", "vocab_size": len(words)},
        vision_config=tower | {"model_type": "pixtral", "image_size": 16, "patch_size": 8},
    )
    steps, autoencoder, transformer = _flux_2(guided=True)
    encoder = Mistral3ForConditionalGeneration(config).eval()
    return quiet(Flux2Pipeline(steps, autoencoder, encoder, words, transformer))


def flux_2_klein(seed: int = 0, distilled: bool = False) -> Flux2KleinPipeline:
    torch.manual_seed(seed)
    words = _chatting()
    encoder = Qwen3ForCausalLM(Qwen3Config(vocab_size=len(words), **_DECODER)).eval()
    steps, autoencoder, transformer = _flux_2(guided=False)
    return quiet(Flux2KleinPipeline(steps, autoencoder, encoder, words, transformer, is_distilled=distilled))


_T5 = {"d_model": 32, "d_ff": 37, "d_kv": 8, "num_layers": 1, "num_heads": 4}


def _t5(words: CLIPTokenizer) -> T5EncoderModel:
    return T5EncoderModel(T5Config(vocab_size=len(words), **_T5)).eval()


def quiet(pipe: DiffusionPipeline) -> DiffusionPipeline:
    """Without a progress bar, and where the tests are to run."""
    pipe.set_progress_bar_config(disable=True)
    return pipe if DEVICE == "cpu" else pipe.to(DEVICE)
