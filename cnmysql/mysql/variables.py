"""Server variables of MySQL 9.7: their types, and which can change while the server runs.

Generated from a running server by `python -m tests.mysql.variables`; do not edit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SERIES: Final = "9.7"

DYNAMIC: Final[Mapping[str, str]] = {
    "boolean": """
        activate_all_roles_on_login activate_mandatory_roles autocommit automatic_sp_privileges big_tables
        binlog_direct_non_transactional_updates binlog_encryption binlog_expire_logs_auto_purge binlog_order_commits
        binlog_rows_query_log_events binlog_transaction_compression caching_sha2_password_enforce_storage_format
        caching_sha2_password_proxy_users check_proxy_users clone_autotune_concurrency clone_block_ddl
        clone_enable_compression default_table_encryption enable_cascade_triggers enable_secondary_engine_statistics
        end_markers_in_json explicit_defaults_for_timestamp flush foreign_key_checks general_log
        global_connection_memory_tracking innodb_adaptive_flushing innodb_adaptive_hash_index
        innodb_buffer_pool_dump_at_shutdown innodb_buffer_pool_dump_now innodb_buffer_pool_in_core_file
        innodb_buffer_pool_load_abort innodb_buffer_pool_load_now innodb_cmp_per_index_enabled innodb_deadlock_detect
        innodb_disable_sort_file_cache innodb_extend_and_initialize innodb_file_per_table innodb_flush_sync
        innodb_ft_enable_diag_print innodb_ft_enable_stopword innodb_log_checksums innodb_log_compressed_pages
        innodb_optimize_fulltext_only innodb_print_all_deadlocks innodb_print_ddl_logs innodb_random_read_ahead
        innodb_redo_log_encrypt innodb_stats_auto_recalc innodb_stats_include_delete_marked innodb_stats_on_metadata
        innodb_stats_persistent innodb_status_output innodb_status_output_locks innodb_strict_mode innodb_table_locks
        innodb_undo_log_encrypt innodb_undo_log_truncate innodb_use_fdatasync keep_files_on_create keyring_operations
        local_infile log_bin_trust_function_creators log_queries_not_using_indexes log_raw log_slow_admin_statements
        log_slow_extra log_slow_replica_statements log_slow_slave_statements log_statements_unsafe_for_binlog
        low_priority_updates master_verify_checksum myisam_use_mmap offline_mode old_alter_table partial_revokes
        password_require_current performance_schema_show_processlist print_identified_with_as_hex profiling read_only
        relay_log_purge replica_allow_batching replica_allow_higher_version_source replica_compressed_protocol
        replica_preserve_commit_order replica_sql_verify_checksum replication_optimize_for_static_plugin_config
        replication_sender_observe_commit_only require_secure_transport restrict_fk_on_non_standard_key
        select_into_disk_sync session_track_schema session_track_state_change sha256_password_proxy_users
        show_create_table_verbosity show_gipk_in_create_table_and_information_schema slave_allow_batching
        slave_compressed_protocol slave_preserve_commit_order slave_sql_verify_checksum slow_query_log
        source_verify_checksum sql_auto_is_null sql_big_selects sql_buffer_result sql_generate_invisible_primary_key
        sql_log_off sql_notes sql_quote_show_create sql_require_primary_key sql_safe_updates sql_warnings
        ssl_session_cache_mode super_read_only table_encryption_privilege_check transaction_read_only unique_checks
        windowing_use_high_precision xa_detach_on_prepare
    """,
    "enumeration": """
        binlog_checksum binlog_error_action binlog_format binlog_row_image binlog_row_metadata block_encryption_mode
        completion_type concurrent_insert delay_key_write event_scheduler explain_format group_replication_consistency
        gtid_mode internal_tmp_mem_storage_engine log_timestamps rbr_exec_mode replica_exec_mode session_track_gtids
        session_track_transaction_info slave_exec_mode terminology_use_previous transaction_isolation
        updatable_views_with_limit
    """,
    "integer": """
        auto_increment_increment auto_increment_offset binlog_cache_size binlog_expire_logs_seconds
        binlog_group_commit_sync_delay binlog_group_commit_sync_no_delay_count binlog_max_flush_queue_time
        binlog_stmt_cache_size binlog_transaction_compression_level_zstd binlog_transaction_dependency_history_size
        bulk_insert_buffer_size caching_sha2_password_digest_rounds clone_buffer_size clone_ddl_timeout
        clone_delay_after_data_drop clone_donor_timeout_after_network_failure clone_max_concurrency
        clone_max_data_bandwidth clone_max_network_bandwidth connect_timeout connection_memory_chunk_size
        connection_memory_limit connection_memory_status_limit cte_max_recursion_depth default_password_lifetime
        default_week_format delayed_insert_limit delayed_insert_timeout delayed_queue_size div_precision_increment
        eq_range_index_dive_limit explain_json_format_version flush_time generated_random_password_length
        global_connection_memory_limit global_connection_memory_status_limit group_concat_max_len
        gtid_executed_compression_period histogram_generation_max_mem_size host_cache_size
        information_schema_stats_expiry innodb_adaptive_flushing_lwm innodb_adaptive_max_sleep_delay
        innodb_api_bk_commit_interval innodb_api_trx_level innodb_autoextend_increment innodb_buffer_pool_dump_pct
        innodb_buffer_pool_size innodb_change_buffer_max_size innodb_commit_concurrency
        innodb_compression_failure_threshold_pct innodb_compression_level innodb_compression_pad_pct_max
        innodb_concurrency_tickets innodb_ddl_buffer_size innodb_ddl_threads innodb_fast_shutdown innodb_fill_factor
        innodb_flush_log_at_timeout innodb_flush_log_at_trx_commit innodb_flush_neighbors innodb_flushing_avg_loops
        innodb_fsync_threshold innodb_ft_num_word_optimize innodb_ft_result_cache_limit innodb_idle_flush_pct
        innodb_io_capacity innodb_io_capacity_max innodb_lock_wait_timeout innodb_log_buffer_size
        innodb_log_spin_cpu_abs_lwm innodb_log_spin_cpu_pct_hwm innodb_log_wait_for_flush_spin_hwm
        innodb_log_write_ahead_size innodb_lru_scan_depth innodb_max_purge_lag innodb_max_purge_lag_delay
        innodb_max_undo_log_size innodb_old_blocks_pct innodb_old_blocks_time innodb_online_alter_log_max_size
        innodb_parallel_read_threads innodb_purge_batch_size innodb_purge_rseg_truncate_frequency
        innodb_read_ahead_threshold innodb_redo_log_capacity innodb_replication_delay innodb_rollback_segments
        innodb_spin_wait_delay innodb_spin_wait_pause_multiplier innodb_stats_persistent_sample_pages
        innodb_stats_transient_sample_pages innodb_sync_spin_loops innodb_thread_concurrency innodb_thread_sleep_delay
        interactive_timeout join_buffer_size key_buffer_size key_cache_age_threshold key_cache_block_size
        key_cache_division_limit lock_wait_timeout log_error_verbosity log_throttle_queries_not_using_indexes
        max_allowed_packet max_binlog_cache_size max_binlog_size max_binlog_stmt_cache_size max_connect_errors
        max_connections max_delayed_threads max_error_count max_execution_time max_heap_table_size
        max_insert_delayed_threads max_join_size max_length_for_sort_data max_points_in_geometry
        max_prepared_stmt_count max_relay_log_size max_seeks_for_key max_sort_length max_sp_recursion_depth
        max_user_connections max_write_lock_count min_examined_row_limit myisam_data_pointer_size
        myisam_max_sort_file_size myisam_sort_buffer_size net_buffer_length net_read_timeout net_retry_count
        net_write_timeout optimizer_max_subgraph_pairs optimizer_prune_level optimizer_search_depth
        optimizer_trace_limit optimizer_trace_max_mem_size optimizer_trace_offset parser_max_mem_size password_history
        password_reuse_interval performance_schema_max_digest_sample_age preload_buffer_size profiling_history_size
        query_alloc_block_size query_prealloc_size range_alloc_block_size range_optimizer_max_mem_size
        read_buffer_size read_rnd_buffer_size regexp_stack_limit regexp_time_limit replica_checkpoint_group
        replica_checkpoint_period replica_max_allowed_packet replica_net_timeout replica_parallel_workers
        replica_pending_jobs_size_max replica_transaction_retries rpl_read_size rpl_stop_replica_timeout
        rpl_stop_slave_timeout schema_definition_cache select_into_buffer_size select_into_disk_sync_delay server_id
        server_id_bits set_operations_buffer_size slave_checkpoint_group slave_checkpoint_period
        slave_max_allowed_packet slave_net_timeout slave_parallel_workers slave_pending_jobs_size_max
        slave_transaction_retries slow_launch_time sort_buffer_size sql_replica_skip_counter sql_select_limit
        sql_slave_skip_counter ssl_session_cache_timeout stored_program_cache stored_program_definition_cache
        sync_binlog sync_master_info sync_relay_log sync_relay_log_info sync_source_info table_definition_cache
        table_open_cache table_open_cache_triggers tablespace_definition_cache temptable_max_mmap temptable_max_ram
        thread_cache_size tmp_table_size transaction_alloc_block_size transaction_prealloc_size wait_timeout
    """,
    "numeric": """
        innodb_max_dirty_pages_pct innodb_max_dirty_pages_pct_lwm innodb_segment_reserve_factor long_query_time
        secondary_engine_cost_threshold
    """,
    "set": """
        binlog_row_value_options log_output optimizer_switch optimizer_trace optimizer_trace_features
        replica_type_conversions slave_type_conversions sql_mode
    """,
    "string": """
        admin_ssl_ca admin_ssl_capath admin_ssl_cert admin_ssl_cipher admin_ssl_crl admin_ssl_crlpath admin_ssl_key
        admin_tls_ciphersuites admin_tls_version authentication_policy caching_sha2_password_storage_format
        character_set_client character_set_connection character_set_database character_set_filesystem
        character_set_results character_set_server clone_ssl_ca clone_ssl_cert clone_ssl_key clone_valid_donor_list
        collation_connection collation_database collation_server default_collation_for_utf8mb4 default_storage_engine
        default_tmp_storage_engine enforce_gtid_consistency external_table_secondary_storage_engine
        external_table_storage_engine ft_boolean_syntax general_log_file gtid_purged init_connect init_replica
        init_slave innodb_buffer_pool_filename innodb_change_buffering innodb_checksum_algorithm
        innodb_default_row_format innodb_doublewrite innodb_ft_aux_table innodb_ft_server_stopword_table
        innodb_ft_user_stopword_table innodb_log_writer_threads innodb_monitor_disable innodb_monitor_enable
        innodb_monitor_reset innodb_monitor_reset_all innodb_redo_log_archive_dirs innodb_stats_method innodb_tmpdir
        lc_messages lc_time_names log_error_services log_error_suppression_list mandatory_roles myisam_stats_method
        protocol_compression_algorithms session_track_system_variables slow_query_log_file ssl_ca ssl_capath ssl_cert
        ssl_cipher ssl_crl ssl_crlpath ssl_key time_zone tls_ciphersuites tls_version
    """,
}

STATIC: Final[Mapping[str, str]] = {
    "boolean": """
        auto_generate_certs binlog_gtid_simple_recovery binlog_rotate_encryption_master_key_at_startup
        caching_sha2_password_auto_generate_rsa_keys container_aware core_file create_admin_listener_thread
        disconnect_on_expired_password innodb_api_disable_rowlock innodb_api_enable_binlog innodb_api_enable_mdl
        innodb_buffer_pool_load_at_startup innodb_dedicated_server innodb_force_load_corrupted
        innodb_native_foreign_keys innodb_numa_interleave innodb_read_only innodb_rollback_on_timeout
        innodb_use_native_aio innodb_validate_tablespace_paths large_files_support large_pages locked_in_memory
        log_bin log_replica_updates log_slave_updates lower_case_file_system performance_schema
        persist_sensitive_variables_in_plaintext persisted_globals_load relay_log_recovery
        sha256_password_auto_generate_rsa_keys skip_external_locking skip_name_resolve skip_networking
        skip_replica_start skip_show_database skip_slave_start tls_certificates_enforced_validation
    """,
    "enumeration": """
        ssl_fips_mode thread_handling
    """,
    "integer": """
        admin_port back_log binlog_row_event_max_size ft_max_word_len ft_min_word_len ft_query_expansion_limit
        innodb_adaptive_hash_index_parts innodb_autoinc_lock_mode innodb_buffer_pool_chunk_size
        innodb_buffer_pool_instances innodb_doublewrite_batch_size innodb_doublewrite_files innodb_doublewrite_pages
        innodb_force_recovery innodb_ft_cache_size innodb_ft_max_token_size innodb_ft_min_token_size
        innodb_ft_sort_pll_degree innodb_ft_total_cache_size innodb_open_files innodb_page_cleaners innodb_page_size
        innodb_purge_threads innodb_read_io_threads innodb_sort_buffer_size innodb_sync_array_size
        innodb_write_io_threads large_page_size lower_case_table_names max_digest_length myisam_mmap_size
        ngram_token_size open_files_limit performance_schema_accounts_size performance_schema_digests_size
        performance_schema_error_size performance_schema_events_stages_history_long_size
        performance_schema_events_stages_history_size performance_schema_events_statements_history_long_size
        performance_schema_events_statements_history_size performance_schema_events_transactions_history_long_size
        performance_schema_events_transactions_history_size performance_schema_events_waits_history_long_size
        performance_schema_events_waits_history_size performance_schema_hosts_size performance_schema_max_cond_classes
        performance_schema_max_cond_instances performance_schema_max_digest_length performance_schema_max_file_classes
        performance_schema_max_file_handles performance_schema_max_file_instances performance_schema_max_index_stat
        performance_schema_max_logger_classes performance_schema_max_memory_classes
        performance_schema_max_metadata_locks performance_schema_max_meter_classes
        performance_schema_max_metric_classes performance_schema_max_mutex_classes
        performance_schema_max_mutex_instances performance_schema_max_prepared_statements_instances
        performance_schema_max_program_instances performance_schema_max_rwlock_classes
        performance_schema_max_rwlock_instances performance_schema_max_socket_classes
        performance_schema_max_socket_instances performance_schema_max_sql_text_length
        performance_schema_max_stage_classes performance_schema_max_statement_classes
        performance_schema_max_statement_stack performance_schema_max_table_handles
        performance_schema_max_table_instances performance_schema_max_table_lock_stat
        performance_schema_max_thread_classes performance_schema_max_thread_instances
        performance_schema_session_connect_attrs_size performance_schema_setup_actors_size
        performance_schema_setup_objects_size performance_schema_users_size port protocol_version
        relay_log_space_limit report_port server_memory table_open_cache_instances thread_stack
    """,
    "string": """
        admin_address basedir bind_address build_id caching_sha2_password_private_key_path
        caching_sha2_password_public_key_path character_set_system character_sets_dir datadir disabled_storage_engines
        ft_stopword_file gtid_executed gtid_owned have_compress have_dynamic_loading have_geometry have_profiling
        have_query_cache have_rtree_keys have_statement_timeout have_symlink hostname init_file innodb_data_file_path
        innodb_data_home_dir innodb_directories innodb_doublewrite_dir innodb_flush_method innodb_log_group_home_dir
        innodb_temp_data_file_path innodb_temp_tablespaces_dir innodb_undo_directory innodb_version lc_messages_dir
        license log_bin_basename log_bin_index log_error myisam_recover_options persist_only_admin_x509_subject
        pid_file plugin_dir relay_log relay_log_basename relay_log_index replica_load_tmpdir replica_skip_errors
        report_host report_password report_user secure_file_priv server_uuid sha256_password_private_key_path
        sha256_password_public_key_path slave_load_tmpdir slave_skip_errors socket system_time_zone tmpdir version
        version_comment version_compile_machine version_compile_os version_compile_zlib version_with_update
    """,
}
