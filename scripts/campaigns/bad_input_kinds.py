"""All classes of wrong inputs, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

import bad_input_commands as commands
import bad_input_configs as configs
import bad_input_files as files
import bad_input_jobs as jobs
from bad_input_try import Try

KINDS: Mapping[str, Callable[[Random], Try]] = {
    kind.__name__: kind
    for kind in (
        *(configs.frame_key, configs.shipped_argument, configs.toy_argument, configs.reference),
        *(configs.path, configs.hydra_folder, configs.number, jobs.job_map, jobs.scalar),
        *(jobs.target, jobs.job_shape, configs.unicode_text, files.broken_yaml),
        *(files.yaml_tag, files.nesting, files.defaults, files.pool_file, files.file_in_place),
        *(files.allow_file, commands.override, commands.failing_job, commands.command_word),
        commands.sweep,
    )
}
"""Each class draws one try, a project and a command, at random."""
