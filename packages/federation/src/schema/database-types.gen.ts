// Generated from a database with all migrations by scripts/schema-write.ts; do not edit.

export type Json = string | number | boolean | null | { [key: string]: Json | undefined } | Json[];

/** The schema as supabase-js wants to know it: `createClient<Database>(url, key)`. */
export interface Database {
  public: {
    Tables: {
      agent_events: {
        Row: {
          agent_id: string | null;
          created_at: string;
          kind: string;
          peer: string | null;
          private: boolean;
          row_id: string;
          seq: number;
          subject: string | null;
          tenant_id: string;
          tx: string;
        };
        Insert: {
          agent_id?: string | null;
          created_at?: string;
          kind: string;
          peer?: string | null;
          private?: boolean;
          row_id?: string;
          seq?: number;
          subject?: string | null;
          tenant_id: string;
          tx?: string;
        };
        Update: {
          agent_id?: string | null;
          created_at?: string;
          kind?: string;
          peer?: string | null;
          private?: boolean;
          row_id?: string;
          seq?: number;
          subject?: string | null;
          tenant_id?: string;
          tx?: string;
        };
        Relationships: [];
      };
      agent_locks: {
        Row: {
          expires_at: string;
          fence: number;
          holder: string;
          instance_id: string;
          name: string;
          row_id: string;
          taken_at: string;
          tenant_id: string;
        };
        Insert: {
          expires_at: string;
          fence: number;
          holder: string;
          instance_id: string;
          name: string;
          row_id?: string;
          taken_at?: string;
          tenant_id: string;
        };
        Update: {
          expires_at?: string;
          fence?: number;
          holder?: string;
          instance_id?: string;
          name?: string;
          row_id?: string;
          taken_at?: string;
          tenant_id?: string;
        };
        Relationships: [];
      };
      agent_memories: {
        Row: {
          agent_id: string;
          content: string | null;
          content_hash: string | null;
          correlation_id: string | null;
          created_at: string;
          deleted_at: string | null;
          embedding: string | null;
          embedding_model: string | null;
          expires_at: string | null;
          hlc_counter: number;
          hlc_ms: number;
          hlc_writer: string;
          id: string;
          instance_id: string | null;
          metadata: Json;
          row_id: string;
          scope: string;
          seq: number;
          session_agent: string | null;
          session_id: string | null;
          source: Json | null;
          superseded_by: string | null;
          supersedes: string | null;
          tenant_id: string;
          traceparent: string | null;
          tx: string;
          updated_at: string;
          valid_from: string | null;
          valid_to: string | null;
          version: number;
          words: unknown | null;
          written_by: string | null;
        };
        Insert: {
          agent_id?: string;
          content?: string | null;
          content_hash?: string | null;
          correlation_id?: string | null;
          created_at?: string;
          deleted_at?: string | null;
          embedding?: string | null;
          embedding_model?: string | null;
          expires_at?: string | null;
          hlc_counter?: number;
          hlc_ms?: number;
          hlc_writer?: string;
          id: string;
          instance_id?: string | null;
          metadata?: Json;
          row_id?: string;
          scope?: string;
          seq?: number;
          session_agent?: string | null;
          session_id?: string | null;
          source?: Json | null;
          superseded_by?: string | null;
          supersedes?: string | null;
          tenant_id?: string;
          traceparent?: string | null;
          tx?: string;
          updated_at?: string;
          valid_from?: string | null;
          valid_to?: string | null;
          version?: number;
          words?: never;
          written_by?: string | null;
        };
        Update: {
          agent_id?: string;
          content?: string | null;
          content_hash?: string | null;
          correlation_id?: string | null;
          created_at?: string;
          deleted_at?: string | null;
          embedding?: string | null;
          embedding_model?: string | null;
          expires_at?: string | null;
          hlc_counter?: number;
          hlc_ms?: number;
          hlc_writer?: string;
          id?: string;
          instance_id?: string | null;
          metadata?: Json;
          row_id?: string;
          scope?: string;
          seq?: number;
          session_agent?: string | null;
          session_id?: string | null;
          source?: Json | null;
          superseded_by?: string | null;
          supersedes?: string | null;
          tenant_id?: string;
          traceparent?: string | null;
          tx?: string;
          updated_at?: string;
          valid_from?: string | null;
          valid_to?: string | null;
          version?: number;
          words?: never;
          written_by?: string | null;
        };
        Relationships: [];
      };
      agent_message_failures: {
        Row: {
          agent_id: string;
          dead_at: string | null;
          delivery_attempt: number;
          last_error: string | null;
          message_row: string;
          row_id: string;
          seq: number;
          tenant_id: string;
          tx: string;
        };
        Insert: {
          agent_id: string;
          dead_at?: string | null;
          delivery_attempt?: number;
          last_error?: string | null;
          message_row: string;
          row_id?: string;
          seq?: number;
          tenant_id: string;
          tx?: string;
        };
        Update: {
          agent_id?: string;
          dead_at?: string | null;
          delivery_attempt?: number;
          last_error?: string | null;
          message_row?: string;
          row_id?: string;
          seq?: number;
          tenant_id?: string;
          tx?: string;
        };
        Relationships: [{ foreignKeyName: "agent_message_failures_message_row_fkey"; columns: ["message_row"]; isOneToOne: false; referencedRelation: "agent_messages"; referencedColumns: ["row_id"] }];
      };
      agent_messages: {
        Row: {
          correlation_id: string | null;
          created_at: string;
          dead_at: string | null;
          delivered_at: string | null;
          delivery_attempt: number;
          expires_at: string | null;
          from_agent: string;
          handled_at: string | null;
          hop_count: number;
          id: string;
          instance_id: string | null;
          last_error: string | null;
          payload: Json;
          receipts: boolean;
          reply_to: string | null;
          row_id: string;
          sender_seq: number | null;
          seq: number;
          tenant_id: string;
          to_agent: string | null;
          traceparent: string | null;
          tx: string;
          type: string;
          version: number;
        };
        Insert: {
          correlation_id?: string | null;
          created_at?: string;
          dead_at?: string | null;
          delivered_at?: string | null;
          delivery_attempt?: number;
          expires_at?: string | null;
          from_agent?: string;
          handled_at?: string | null;
          hop_count?: number;
          id: string;
          instance_id?: string | null;
          last_error?: string | null;
          payload: Json;
          receipts?: boolean;
          reply_to?: string | null;
          row_id?: string;
          sender_seq?: number | null;
          seq?: number;
          tenant_id?: string;
          to_agent?: string | null;
          traceparent?: string | null;
          tx?: string;
          type: string;
          version?: number;
        };
        Update: {
          correlation_id?: string | null;
          created_at?: string;
          dead_at?: string | null;
          delivered_at?: string | null;
          delivery_attempt?: number;
          expires_at?: string | null;
          from_agent?: string;
          handled_at?: string | null;
          hop_count?: number;
          id?: string;
          instance_id?: string | null;
          last_error?: string | null;
          payload?: Json;
          receipts?: boolean;
          reply_to?: string | null;
          row_id?: string;
          sender_seq?: number | null;
          seq?: number;
          tenant_id?: string;
          to_agent?: string | null;
          traceparent?: string | null;
          tx?: string;
          type?: string;
          version?: number;
        };
        Relationships: [];
      };
      agent_sessions: {
        Row: {
          agent_id: string;
          capabilities: string[];
          end_reason: string | null;
          ended_at: string | null;
          instance_id: string | null;
          last_seen_at: string;
          load: number | null;
          metadata: Json;
          row_id: string;
          seq: number;
          session_id: string;
          started_at: string;
          status: string;
          task: string | null;
          tenant_id: string;
          timeout_seconds: number;
          tx: string;
          version: number;
        };
        Insert: {
          agent_id?: string;
          capabilities?: string[];
          end_reason?: string | null;
          ended_at?: string | null;
          instance_id?: string | null;
          last_seen_at?: string;
          load?: number | null;
          metadata?: Json;
          row_id?: string;
          seq?: number;
          session_id: string;
          started_at?: string;
          status?: string;
          task?: string | null;
          tenant_id?: string;
          timeout_seconds?: number;
          tx?: string;
          version?: number;
        };
        Update: {
          agent_id?: string;
          capabilities?: string[];
          end_reason?: string | null;
          ended_at?: string | null;
          instance_id?: string | null;
          last_seen_at?: string;
          load?: number | null;
          metadata?: Json;
          row_id?: string;
          seq?: number;
          session_id?: string;
          started_at?: string;
          status?: string;
          task?: string | null;
          tenant_id?: string;
          timeout_seconds?: number;
          tx?: string;
          version?: number;
        };
        Relationships: [];
      };
      agent_task_queue: {
        Row: {
          assigned_to: string | null;
          capability: string | null;
          claim_id: string | null;
          fence: number;
          lane: string | null;
          lease_until: string | null;
          look_from: string | null;
          priority: number;
          ready_at: string;
          row_id: string;
          seq: number;
          task_row: string;
          tenant_id: string;
          tx: string;
        };
        Insert: {
          assigned_to?: string | null;
          capability?: string | null;
          claim_id?: string | null;
          fence?: number;
          lane?: never;
          lease_until?: string | null;
          look_from?: string | null;
          priority?: number;
          ready_at?: string;
          row_id?: string;
          seq?: number;
          task_row: string;
          tenant_id: string;
          tx?: string;
        };
        Update: {
          assigned_to?: string | null;
          capability?: string | null;
          claim_id?: string | null;
          fence?: number;
          lane?: never;
          lease_until?: string | null;
          look_from?: string | null;
          priority?: number;
          ready_at?: string;
          row_id?: string;
          seq?: number;
          task_row?: string;
          tenant_id?: string;
          tx?: string;
        };
        Relationships: [{ foreignKeyName: "agent_task_queue_task_row_fkey"; columns: ["task_row"]; isOneToOne: false; referencedRelation: "agent_tasks"; referencedColumns: ["row_id"] }];
      };
      agent_tasks: {
        Row: {
          answer: Json | null;
          assigned_by: string;
          assigned_to: string | null;
          attempt: number;
          capability: string | null;
          checkpoint: Json | null;
          content_hash: string;
          correlation_id: string | null;
          created_at: string;
          deadline: string | null;
          dependencies: string[];
          description: string;
          details: Json;
          ended_at: string | null;
          error: string | null;
          expires_at: string | null;
          fence: number;
          holders: string[];
          hop_count: number;
          instance_id: string | null;
          last_progress_at: string | null;
          lease_agent: string | null;
          lease_until: string | null;
          max_attempts: number;
          priority: string;
          progress: number | null;
          progress_note: string | null;
          question: string | null;
          reply_to: string | null;
          result: Json | null;
          row_id: string;
          seq: number;
          started_at: string | null;
          status: string;
          superseded_results: Json;
          task_id: string;
          tenant_id: string;
          traceparent: string | null;
          tx: string;
          version: number;
        };
        Insert: {
          answer?: Json | null;
          assigned_by: string;
          assigned_to?: string | null;
          attempt?: number;
          capability?: string | null;
          checkpoint?: Json | null;
          content_hash: string;
          correlation_id?: string | null;
          created_at?: string;
          deadline?: string | null;
          dependencies?: string[];
          description: string;
          details?: Json;
          ended_at?: string | null;
          error?: string | null;
          expires_at?: string | null;
          fence?: number;
          holders?: string[];
          hop_count?: number;
          instance_id?: string | null;
          last_progress_at?: string | null;
          lease_agent?: string | null;
          lease_until?: string | null;
          max_attempts?: number;
          priority?: string;
          progress?: number | null;
          progress_note?: string | null;
          question?: string | null;
          reply_to?: string | null;
          result?: Json | null;
          row_id?: string;
          seq?: number;
          started_at?: string | null;
          status?: string;
          superseded_results?: Json;
          task_id: string;
          tenant_id?: string;
          traceparent?: string | null;
          tx?: string;
          version?: number;
        };
        Update: {
          answer?: Json | null;
          assigned_by?: string;
          assigned_to?: string | null;
          attempt?: number;
          capability?: string | null;
          checkpoint?: Json | null;
          content_hash?: string;
          correlation_id?: string | null;
          created_at?: string;
          deadline?: string | null;
          dependencies?: string[];
          description?: string;
          details?: Json;
          ended_at?: string | null;
          error?: string | null;
          expires_at?: string | null;
          fence?: number;
          holders?: string[];
          hop_count?: number;
          instance_id?: string | null;
          last_progress_at?: string | null;
          lease_agent?: string | null;
          lease_until?: string | null;
          max_attempts?: number;
          priority?: string;
          progress?: number | null;
          progress_note?: string | null;
          question?: string | null;
          reply_to?: string | null;
          result?: Json | null;
          row_id?: string;
          seq?: number;
          started_at?: string | null;
          status?: string;
          superseded_results?: Json;
          task_id?: string;
          tenant_id?: string;
          traceparent?: string | null;
          tx?: string;
          version?: number;
        };
        Relationships: [];
      };
    };
    Views: Record<never, never>;
    Functions: {
      answer_task: {
        Args: {
          answer: Json | null;
          as_agent?: string | null;
          as_tenant?: string | null;
          task_id: string | null;
        };
        Returns: Json;
      };
      ask_receipts: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          id: string | null;
        };
        Returns: Json;
      };
      assign_task: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          task: Json | null;
        };
        Returns: Json;
      };
      assign_tasks: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          tasks: Json | null;
        };
        Returns: Json[];
      };
      cancel_task: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          reason?: string | null;
          task_id: string | null;
        };
        Returns: Json;
      };
      claim_tasks: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          capabilities?: string[] | null;
          instance_id?: string | null;
          max_tasks?: number | null;
        };
        Returns: Json[];
      };
      cleanup_events: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          max_rows?: number | null;
        };
        Returns: number;
      };
      cleanup_expired_memories: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
        };
        Returns: number;
      };
      cleanup_messages: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          max_rows?: number | null;
        };
        Returns: number;
      };
      cleanup_tombstones: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
        };
        Returns: number;
      };
      close_session: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          reason?: string | null;
          session_id: string | null;
        };
        Returns: Json;
      };
      complete_task: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          fence?: number | null;
          result: Json | null;
          task_id: string | null;
        };
        Returns: Json;
      };
      delete_agent: {
        Args: {
          agent: string | null;
          tenant: string | null;
        };
        Returns: Json;
      };
      delete_memories: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          filter: Json | null;
        };
        Returns: number;
      };
      delete_memory: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          id: string | null;
        };
        Returns: boolean;
      };
      delete_tenant: {
        Args: {
          tenant: string | null;
        };
        Returns: Json;
      };
      deliver_messages: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          ids: string[] | null;
          max_deliveries?: number | null;
        };
        Returns: Json[];
      };
      end_older_sessions: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          session_id: string | null;
        };
        Returns: number;
      };
      fail_broadcast: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          attempts?: number | null;
          error: string | null;
          id: string | null;
        };
        Returns: boolean;
      };
      fail_message: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          dead?: boolean | null;
          error: string | null;
          id: string | null;
        };
        Returns: boolean;
      };
      fail_task: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          error: string | null;
          fence?: number | null;
          retry?: boolean | null;
          task_id: string | null;
        };
        Returns: Json;
      };
      federation_stats: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
        };
        Returns: Json;
      };
      feed_place: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          cursor?: string | null;
        };
        Returns: Json;
      };
      find_memories: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          query: Json | null;
        };
        Returns: Json[];
      };
      get_lock: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          name: string | null;
        };
        Returns: Json;
      };
      get_memory: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          id: string | null;
        };
        Returns: Json;
      };
      get_message: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          id: string | null;
        };
        Returns: Json;
      };
      get_task: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          task_id: string | null;
        };
        Returns: Json;
      };
      heartbeat: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          session_id: string | null;
          status?: string | null;
          task?: string | null;
        };
        Returns: Json;
      };
      keep_events: {
        Args: {
          days: number | null;
        };
        Returns: string;
      };
      keep_messages: {
        Args: {
          days: number | null;
        };
        Returns: string;
      };
      keep_tombstones: {
        Args: {
          days: number | null;
        };
        Returns: string;
      };
      keep_waiting_messages: {
        Args: {
          days: number | null;
        };
        Returns: string;
      };
      limit_hops: {
        Args: {
          hops: number | null;
        };
        Returns: string;
      };
      limit_messages: {
        Args: {
          per_minute: number | null;
        };
        Returns: string;
      };
      list_events: {
        Args: {
          after_seq?: number | null;
          as_agent?: string | null;
          as_tenant?: string | null;
          max_rows?: number | null;
        };
        Returns: Json[];
      };
      list_messages: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          filter?: Json | null;
          max_rows?: number | null;
        };
        Returns: Json[];
      };
      list_sessions: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
        };
        Returns: Json[];
      };
      list_tasks: {
        Args: {
          after_seq?: number | null;
          agent?: string | null;
          as_agent?: string | null;
          as_tenant?: string | null;
          max_rows?: number | null;
          statuses?: string[] | null;
        };
        Returns: Json[];
      };
      mark_messages: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          ids: string[] | null;
          state: string | null;
        };
        Returns: number;
      };
      memory_index_statement: {
        Args: {
          dimensions: number | null;
        };
        Returns: string;
      };
      memory_place: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          cursor?: string | null;
        };
        Returns: Json;
      };
      new_epoch: { Args: Record<never, never>; Returns: string };
      next_tasks: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          capabilities?: string[] | null;
          claim_id: string | null;
          ended?: Json | null;
          instance_id?: string | null;
          max_tasks?: number | null;
        };
        Returns: Json;
      };
      open_session: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          capabilities?: string[] | null;
          instance_id?: string | null;
          metadata?: Json | null;
          session_id: string | null;
          status?: string | null;
          task?: string | null;
          timeout_seconds?: number | null;
        };
        Returns: Json;
      };
      pull_changes: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          cursor?: string | null;
          max_bytes?: number | null;
          max_rows?: number | null;
          writer: string | null;
        };
        Returns: Json;
      };
      pull_inbox: {
        Args: {
          after_seq?: number | null;
          as_agent?: string | null;
          as_tenant?: string | null;
          max_messages?: number | null;
        };
        Returns: Json[];
      };
      pull_memories: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          cursor?: string | null;
          max_bytes?: number | null;
          max_rows?: number | null;
        };
        Returns: Json;
      };
      pull_messages: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          box?: string | null;
          cursor?: string | null;
          max_bytes?: number | null;
          max_rows?: number | null;
        };
        Returns: Json;
      };
      push_memories: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          brief?: boolean | null;
          memories: Json | null;
        };
        Returns: Json[];
      };
      query_memories: {
        Args: {
          agent?: string | null;
          as_agent?: string | null;
          as_tenant?: string | null;
          max_rows?: number | null;
        };
        Returns: Json[];
      };
      read_memories: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          ids: string[] | null;
        };
        Returns: Json[];
      };
      release_lock: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          fence: number | null;
          name: string | null;
        };
        Returns: boolean;
      };
      release_task: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          fence: number | null;
          task_id: string | null;
        };
        Returns: Json;
      };
      renew_lock: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          fence: number | null;
          name: string | null;
          ttl_ms?: number | null;
        };
        Returns: boolean;
      };
      renew_tasks: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          leases: Json | null;
        };
        Returns: string[];
      };
      report_agent_gone: {
        Args: {
          agent: string | null;
          as_agent?: string | null;
          as_tenant?: string | null;
          instance: string | null;
        };
        Returns: number;
      };
      report_progress: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          checkpoint?: Json | null;
          fence: number | null;
          note?: string | null;
          progress?: number | null;
          task_id: string | null;
        };
        Returns: Json;
      };
      request_input: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          fence: number | null;
          question: string | null;
          task_id: string | null;
        };
        Returns: Json;
      };
      requeue_message: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          id: string | null;
        };
        Returns: boolean;
      };
      requeue_task: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          task_id: string | null;
        };
        Returns: Json;
      };
      schedule_maintenance: { Args: Record<never, never>; Returns: Json };
      schema_version: { Args: Record<never, never>; Returns: number };
      search_memories: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          embedding: readonly number[] | string | null;
          max_rows?: number | null;
        };
        Returns: Json[];
      };
      send_message: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          correlation_id?: string | null;
          expires_at?: string | null;
          hop_count?: number | null;
          id: string | null;
          instance_id?: string | null;
          payload: Json | null;
          reply_to?: string | null;
          sender_seq?: number | null;
          to_agent: string | null;
          traceparent?: string | null;
          type: string | null;
        };
        Returns: Json;
      };
      set_load: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          load: number | null;
          session_id: string | null;
        };
        Returns: Json;
      };
      start_feed: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
        };
        Returns: number;
      };
      store_memories: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          memories: Json | null;
        };
        Returns: Json[];
      };
      store_memory: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          memory: Json | null;
        };
        Returns: Json;
      };
      sweep: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
        };
        Returns: Json;
      };
      take_inbox: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          asked?: boolean | null;
          session_id: string | null;
        };
        Returns: Json;
      };
      take_lock: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          instance_id: string | null;
          name: string | null;
          ttl_ms?: number | null;
        };
        Returns: Json;
      };
      tell_sessions: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
        };
        Returns: number;
      };
      undo_deliveries: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          ids: string[] | null;
        };
        Returns: number;
      };
      update_session: {
        Args: {
          as_agent?: string | null;
          as_tenant?: string | null;
          metadata?: Json | null;
          session_id: string | null;
          status: string | null;
          task?: string | null;
        };
        Returns: Json;
      };
    };
    Enums: Record<never, never>;
    CompositeTypes: Record<never, never>;
  };
}
