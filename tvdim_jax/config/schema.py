"""The whole schema of a run: every field with its default and unit, in one place."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

PAIR_LOSSES = ("ranking", "info_nce", "similarity_regulated")
OBJECTIVES = ("tvdim", "amdim", "lmi", "clip", "srcl", "vqa", "nlvr", "nlvr_assignment")
SOURCES = ("scenes", "captions", "coco", "mimic_cxr", "karpathy", "vqa", "nlvr")
TASKS = (
    "linear_probe",
    "knn",
    "retrieval",
    "reranking",
    "findings",
    "label_fractions",
    "ordinal",
    "pointing",
    "finetune",
    "few_shot",
    "zero_shot",
    "sgd_probe",
    "mi",
    "vqa",
    "nlvr",
    "false_negatives",
)
AUGMENTS = (
    *("cifar", "stl", "imagenet"),
    *("captions", "captions_large_crops", "captions_unflipped"),
    "xray",
)
FINE_TUNINGS = ("default", "lmi_frozen", "lmi_tuned")
WRITERS = ("tensorboard", "csv", "wandb")
SCHEDULES = ("constant", "cosine", "step")
SCALES = (1, 5, 7)


_DATA = {
    "source": "scenes",  # one of SOURCES
    "path": "",  # folder of the files of the source, or the TFDS data_dir of coco
    "train_split": "",  # part that is trained on, of karpathy, vqa and nlvr; "" is the usual one
    "num_examples": 20_000,  # images of the training split; scenes only
    "validation_fraction": 0.1,  # share split off by a hash, see docs/training.md; captions, nlvr
    "image_size": 32,  # pixels: stored square side, before augmentation
    "max_sentences": 12,  # of a report; lmi only
    "token_buckets": (16, 32, 48),  # lengths sentences are padded to; lmi only
    "noise_rate": 0.0,  # share of training rows whose captions are swapped, 0 to 1
    "noise_seed": 0,  # draws which rows are swapped
    "max_bad_fraction": 0.01,  # stop above this share of unreadable examples, 0 to 1
    "num_threads": 8,  # reader threads of each process
}
_TOKENIZER = {
    "vocab_path": "",  # a WordPiece vocab.txt; "" trains one on the captions
    "vocab_size": 8_000,  # word pieces, when trained
    "num_train_captions": 100_000,  # captions that the training reads
    "lower_case": True,  # lowers letters and strips accents; see case_of_weights
    "case_of_weights": True,  # with model.text_weights: its folder decides, not lower_case
    "add_sep": True,  # end each text with [SEP]
    "max_length": 32,  # word pieces of a text, [CLS] and [SEP] counted
    "num_plain_words": 0,  # words of a text, lower case, no punctuation (ALBEF); 0: as written
    "answer_length": 10,  # of an answer of vqa, the same, at most max_length
}
_MODEL = {
    "start_from": "",  # run folder of clip, srcl or what came of them, to start with its parameters
    "image": "amdim_tiny",  # a name in models/variants.py
    "image_size": 32,  # pixels the encoder sees; which fit is in docs/models.md
    "image_weights": "",  # a Hugging Face folder of CLIP or of a plain ViT to start from
    "text": "text_tiny",  # a name in models/variants.py
    "text_weights": "",  # a Hugging Face BERT folder to start from, its vocabulary too
    "embedding_width": 256,  # width of the space where images and texts meet: clip, srcl
    "fusion": "fusion_tiny",  # of srcl and vqa: a name in models/variants.py
    "decoder": "decoder_tiny",  # of vqa: a name in models/variants.py
    "pair_fusion": "pair_fusion_tiny",  # of nlvr and nlvr_assignment: a name in models/variants.py
    "dropout": 0.1,  # of text encoder, fusions, decoder, in [0, 1); at 0 small BERTs start sooner
    "critic": "mlp",  # of lmi: mlp, bilinear or dot
    "critic_hidden": (1024, 512),  # widths of the critic's hidden layers
    "dtype": "float32",  # compute type: float32 or bfloat16; parameters stay float32
}
_OBJECTIVE = {
    "name": "tvdim",  # one of OBJECTIVES
    "pair_loss": "ranking",  # one of PAIR_LOSSES
    "text_weight": 1.0,  # lambda of TVDIM; 0 builds no text encoder and is AMDIM
    "image_loss": True,  # False trains on text alone
    "margin": 0.2,  # of the ranking loss, in cosine
    "negatives": "all",  # of the ranking loss: all, hardest or a number
    "temperature": 0.07,  # of info_nce and similarity_regulated; clip and srcl learn it from there
    "norm": "ratio",  # weights of similarity_regulated: ratio, softmax (with delta 5) or power
    "delta": 1.0,  # sharpness of these weights; without effect in ratio
    "weight_gradient": False,  # of clip and srcl: lets gradients pass through these weights
    "teacher": "",  # of clip and srcl: run folder of a clip that helps to find these weights
    "teacher_share": 1.0,  # of the teacher in them at the first update, 0 to 1
    "teacher_schedule": "linear",  # that share falls to 0 (linear) or stays (constant)
    "teacher_steps": 0,  # updates in which it falls; 0: all of the run
    # Of srcl's term of images and texts apart; 0 leaves it out, and matching draws evenly.
    "contrast_weight": 1.0,
    "matching_weight": 1.0,  # of srcl's term of image-text matching; 0 leaves it out
    "word_weight": 1.0,  # of srcl's term of hidden words; 0 leaves it out
    "matching_group": 64,  # pairs among which hard negatives are drawn; divides the batch
    "mask_rate": 0.15,  # share of the words that srcl hides, 0 to 1
    "queue_size": 0,  # pairs of earlier updates that srcl keeps as negatives; 0: none
    "average_decay": 0.995,  # of srcl's momentum encoders, which queue and distillation need
    "distillation": 0.0,  # share of the momentum encoders in srcl's targets, 0 to 1
    "distillation_steps": 0,  # updates in which that share rises from 0; 0: it is constant
    "scales": SCALES,  # heights of the image maps that text is ranked against
    "region_pool": "max",  # over the locations of a map: max, mean, log_mean_exp
    "clip": 20.0,  # soft clip of AMDIM's scores
    "estimator": "info_nce",  # of lmi: dv, info_nce, jsd, smile or released_infonce
    "local_weight": 1.0,  # of lmi's term of regions and sentences; 0 leaves it out
    "global_weight": 1.0,  # of lmi's term of images and reports; 0 leaves it out
    "region_map": 8,  # height of the map whose locations are lmi's regions
    "negative_regions": "own",  # which regions answer in negative pairs, see docs/lmi.md
    "sentence_mean": "flat",  # lmi's anchors: flat (sentences) or report (images)
}
_OPTIMIZER = {
    "name": "adam",  # adam (L2 in the gradient) or adamw (decoupled, none on biases and scales)
    "learning_rate": 2e-4,
    "image_learning_rate": 0.0,  # of the image encoder; 0 trains it as the rest
    "b1": 0.8,
    "b2": 0.999,
    "eps": 1e-8,
    "weight_decay": 1e-5,  # in adam L2 added to the gradient, as the AMDIM release does
    "warmup_steps": 500,
    "schedule": "constant",  # after the warm-up, one of SCHEDULES
    "step_boundaries": (),  # updates after which the step schedule drops
    "step_factor": 0.2,  # each drop of the step schedule
    "clip_norm": 0.0,  # global gradient norm; 0 does not clip
    "text_learning_rate": 0.0,  # of BERT's own AdamW for the text encoder; 0 trains it as the rest
    "text_weight_decay": 0.1,  # decoupled, of that AdamW
    "text_warmup_fraction": 0.1,  # share of the updates in which it warms up, then linearly to 0
}
_TRAIN = {
    "batch_size": 64,  # images of one update, over all devices
    "num_steps": 1_000,  # updates
    "log_every": 20,  # updates between rows of metrics.jsonl
    "checkpoint_every": 500,  # updates between checkpoints
    "keep_checkpoints": 2,
    "max_nonfinite_steps": 10,  # skipped updates in a row before the run stops
    "writers": (),  # of WRITERS, which get the rows of metrics.jsonl, too
}
_EVAL = {
    "tasks": ("linear_probe", "knn", "retrieval"),  # of TASKS, run after the last update
    "every": 0,  # updates between evaluations in training; 0 evaluates at the end
    "batch_size": 250,  # images of one forward pass
    "num_train_examples": 2_000,  # at most; fit the probe and fill the kNN index
    "num_test_examples": 1_000,  # at most; scored
    "num_reranked": 128,  # best that all of the model puts in order; reranking and vqa
    "split": "",  # part of the source that is scored; "" is the one for validation
    "answers_path": "",  # of vqa: JSON list of answers to choose from; "": the frequent ones
    "uncertain": "masked",  # labels of doubt: masked, positive or negative; findings
    "unmentioned": "masked",  # findings that a report leaves out: masked or negative
    "finetune_protocol": "default",  # one of FINE_TUNINGS, see docs/training.md; finetune
    "finetune_epochs": 0,  # passes over the training images; 0: 30, of the lmi protocols 300
    "finetune_learning_rate": 0.0,  # peak; 0: that of the protocol
    "templates": (),  # texts with one {} for the class name; (): those of evals/zero_shot.py
    "grades_path": "",  # CSV of severity grades, see docs/lmi.md; ordinal
}


def default() -> ConfigDict:
    """The schema with its defaults: TVDIM on the embedded scenes."""
    return ConfigDict(
        {
            "seed": 0,  # root of all randomness of training; the data order has it too
            "workdir": "",  # run folder; "" is runs/<name of the config file>
            "data": _DATA,
            "tokenizer": _TOKENIZER,
            "model": _MODEL,
            "augment": "cifar",  # one of AUGMENTS; xray reads 16-bit grey images, the others RGB
            "objective": _OBJECTIVE,
            "optimizer": _OPTIMIZER,
            "train": _TRAIN,
            "eval": _EVAL,
        }
    )


def flat_fields(fields: Mapping[str, Any] | ConfigDict, prefix: str = "") -> dict[str, Any]:
    """The values by their full names, such as "train.num_steps"."""
    flat = {}
    for key, value in fields.items():
        if isinstance(value, (dict, ConfigDict)):
            flat.update(flat_fields(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
